use std::sync::Arc;
use std::time::Duration;

use jetwash_client::{Client, ClientBuilder, ClientFilter, Protocol, UpstreamCursor};

use super::options::JetstreamOptions;
use super::pushed::PushedFilter;
use crate::ingest::HostPlace;

/// A Jetstream to follow: hosts that have the same events, in the order in which they are tried.
#[derive(Clone, Debug)]
pub(crate) struct JetstreamSource {
    hosts: Vec<JetstreamHost>,
    filter: PushedFilter,
    options: Arc<JetstreamOptions>,
    /// Where it is to continue.
    cursor: Option<UpstreamCursor>,
}

/// A host of a Jetstream.
#[derive(Clone, Debug)]
struct JetstreamHost {
    /// The address as the caller wrote it.
    address: String,
    /// The name that the client has for it, which is that of its cursor.
    name: Arc<str>,
}

impl JetstreamSource {
    pub(super) fn new(
        addresses: &[String],
        filter: PushedFilter,
        options: Arc<JetstreamOptions>,
    ) -> Self {
        let host = |address: &String| JetstreamHost {
            address: address.clone(),
            name: name_of(address).into(),
        };
        Self {
            hosts: addresses.iter().map(host).collect(),
            filter,
            options,
            cursor: None,
        }
    }

    /// The name of the source: that of its first host.
    pub(crate) fn name(&self) -> Arc<str> {
        let first = self.hosts.first();
        first.map_or_else(|| "".into(), |host| Arc::clone(&host.name))
    }

    /// The names of the hosts, under which the log has how far they are.
    pub(crate) fn host_names(&self) -> impl Iterator<Item = &str> {
        self.hosts.iter().map(|host| &*host.name)
    }

    pub(super) fn has_host(&self, address: &str) -> bool {
        let name = name_of(address);
        self.host_names().any(|host| host == name)
    }

    /// Has it begin at this cursor, whatever an earlier run has come to.
    pub(super) fn start_at(&mut self, cursor: UpstreamCursor) {
        self.cursor = Some(cursor);
    }

    /// Has it continue where an earlier run ended, unless the caller gave a cursor.
    pub(crate) fn resume(&mut self, place: &HostPlace) {
        let cursor = self.behind(place);
        self.cursor.get_or_insert(cursor);
    }

    /// The cursor to continue with behind a place.
    pub(super) fn behind(&self, place: &HostPlace) -> UpstreamCursor {
        place.cursor(match self.hosts.len() {
            // Of two events with one time, the second may not have come.
            1 => Duration::from_micros(1),
            // Another host may have given the events that come next an earlier time.
            _ => OVERLAP,
        })
    }

    pub(super) fn cursor(&self) -> Option<UpstreamCursor> {
        self.cursor.clone()
    }

    /// The filter as hosts are told it.
    pub(super) const fn filter(&mut self) -> &mut PushedFilter {
        &mut self.filter
    }

    pub(super) fn client(
        &self,
        cursor: Option<UpstreamCursor>,
        filter: ClientFilter,
    ) -> ClientBuilder {
        let addresses = self.hosts.iter().map(|host| host.address.as_str());
        let client = Client::builder(addresses).filter(filter);
        let client = self.options.apply(client);
        match cursor {
            Some(cursor) => client.cursor(cursor),
            None => client,
        }
    }
}

/// The name that the client has for a host: its address without the path of a version, in lower
/// case, and without the usual port.
fn name_of(address: &str) -> String {
    let (scheme, rest) = address.split_once("://").unwrap_or(("wss", address));
    let (scheme, usual) = match scheme.to_ascii_lowercase().as_str() {
        "ws" | "http" => ("ws", ":80"),
        _ => ("wss", ":443"),
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let authority = authority.to_ascii_lowercase();
    let authority = authority.strip_suffix(usual).unwrap_or(&authority);
    let path = path.trim_end_matches('/');
    let base = [Protocol::V1, Protocol::V2]
        .iter()
        .find_map(|protocol| path.strip_suffix(protocol.path()));
    format!("{scheme}://{authority}{}", base.unwrap_or(path))
}

/// The clocks of hosts are closer to each other than that.
const OVERLAP: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_addresses_of_one_host_have_one_name() {
        for (address, name) in [
            ("Jetstream2.example", "wss://jetstream2.example"),
            ("https://a.example:443/subscribe", "wss://a.example"),
            ("ws://127.0.0.1:80/", "ws://127.0.0.1"),
            ("ws://[::1]:6008/base/subscribe", "ws://[::1]:6008/base"),
            (
                "wss://a.example/xrpc/network.bsky.jetstream.subscribeEvents",
                "wss://a.example",
            ),
        ] {
            assert_eq!(name_of(address), name, "{address}");
        }
    }
}
