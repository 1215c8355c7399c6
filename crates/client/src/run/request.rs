//! The filter as the wire of each version can say it. What it cannot say is left out, so that the
//! server sends more than is wanted and never less.

use std::fmt::Write;

use jetwash_event::Nsid;

use crate::filter::ClientFilter;
use crate::protocol::Protocol;
use crate::wire::ClientKind;

/// The part of a filter that a server is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pushed {
    collections: Vec<String>,
    /// Sorted.
    dids: Vec<String>,
    kinds: Vec<ClientKind>,
}

/// A request for a stream.
pub(super) struct Request {
    /// The query, without the question mark.
    pub(super) query: String,
    /// The first message of the client, if the filter is too long for a query.
    pub(super) hello: Option<String>,
}

/// The parts of a request beside the filter.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Start {
    pub(super) cursor: Option<u64>,
    /// Whether messages of version 1 are to be compressed.
    pub(super) compress: bool,
    /// The dictionary that messages of version 2 are to be compressed with.
    pub(super) dictionary: Option<u32>,
}

impl Pushed {
    /// Chooses what to tell. With `omit_dids` accounts are left out: a server or a proxy before it
    /// did not take so long a request.
    pub(super) fn new(filter: &ClientFilter, protocol: Protocol, omit_dids: bool) -> Self {
        let rules = filter.rules();
        let kinds = filter.named_kinds();
        let has_commits = kinds.is_empty() || kinds.contains(&ClientKind::Commit);
        let says = |pattern: &str| {
            // Version 2 wants the start to be that of an NSID.
            let start = pattern.strip_suffix('*');
            protocol == Protocol::V1
                || start.is_none_or(|start| Nsid::check(&format!("{start}x")).is_ok())
        };
        let patterns = filter.patterns();
        let fits = patterns.len() <= MAX_COLLECTIONS && patterns.iter().all(|it| says(it));
        let mut collections: Vec<String> = patterns.iter().map(|it| it.to_string()).collect();
        if !fits || !has_commits {
            collections.clear();
        }
        if !has_commits && protocol == Protocol::V1 {
            // Version 1 knows no kinds; it can only be asked for a collection that nobody has.
            collections = vec![NO_COLLECTION.to_owned()];
        }
        let tells_dids = rules.did_sets().is_empty() && rules.did_count() <= MAX_DIDS && !omit_dids;
        let dids = rules.named_dids().filter(|_| tells_dids);
        let mut dids: Vec<String> = dids.map(|did| did.as_str().to_owned()).collect();
        dids.sort_unstable();
        Self {
            collections,
            dids,
            kinds: if protocol == Protocol::V2 {
                kinds
            } else {
                Vec::new()
            },
        }
    }

    /// Whether the server is told to leave something out.
    pub(super) const fn is_empty(&self) -> bool {
        self.collections.is_empty() && self.dids.is_empty() && self.kinds.is_empty()
    }

    pub(super) const fn has_dids(&self) -> bool {
        !self.dids.is_empty()
    }

    /// The request for a stream of this filter.
    pub(super) fn request(&self, protocol: Protocol, start: Start) -> Request {
        let (collections, dids) = match protocol {
            Protocol::V1 => ("wantedCollections", "wantedDids"),
            Protocol::V2 => ("collections", "dids"),
        };
        let mut query = Query::default();
        for collection in &self.collections {
            query.add(collections, collection);
        }
        for did in &self.dids {
            query.add(dids, did);
        }
        for kind in &self.kinds {
            query.add("kinds", kind.as_str());
        }
        let mut hello = None;
        if protocol == Protocol::V1 {
            if query.0.len() > MAX_V1_QUERY {
                query = Query::default();
                query.add("requireHello", "true");
                hello = Some(self.update());
            }
            // Servers of our own then say where their log lacks events; others ignore it.
            query.add("gaps", "true");
            if start.compress {
                query.add("compress", "true");
            }
        }
        if let Some(id) = start.dictionary {
            query.add("zstdDictionary", &id.to_string());
        }
        if let Some(cursor) = start.cursor {
            query.add("cursor", &cursor.to_string());
        }
        Request {
            query: query.0,
            hello,
        }
    }

    /// The message of version 1 that replaces the server's filter by this.
    pub(super) fn update(&self) -> String {
        let payload = serde_json::json!({
            "wantedCollections": self.collections,
            "wantedDids": self.dids,
        });
        serde_json::json!({"type": "options_update", "payload": payload}).to_string()
    }
}

#[derive(Default)]
struct Query(String);

impl Query {
    /// Adds a parameter, percent-encoded but for characters that identifiers have.
    fn add(&mut self, name: &str, value: &str) {
        let separator = if self.0.is_empty() { "" } else { "&" };
        // Writing to a string cannot fail.
        let _ = write!(self.0, "{separator}{name}=");
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~:*".contains(&byte) {
                self.0.push(byte.into());
            } else {
                let _ = write!(self.0, "%{byte:02X}");
            }
        }
    }
}

const MAX_COLLECTIONS: usize = 100;
const MAX_DIDS: usize = 10_000;
/// Proxies before public servers take requests of 8 KiB at least.
const MAX_V1_QUERY: usize = 4 << 10;
/// A collection of a name that cannot exist: `invalid` is never a domain (RFC 6761).
const NO_COLLECTION: &str = "invalid.jetwash.none";

#[cfg(test)]
mod tests {
    use super::*;

    fn query(filter: &ClientFilter, protocol: Protocol) -> String {
        let start = Start {
            cursor: Some(7),
            compress: true,
            dictionary: (protocol == Protocol::V2).then_some(9),
        };
        Pushed::new(filter, protocol, false)
            .request(protocol, start)
            .query
    }

    #[test]
    fn a_filter_is_written_in_the_words_of_each_version() {
        let filter = ClientFilter::new()
            .collections(["app.bsky.feed.post", "app.bsky.graph.*"])
            .unwrap()
            .dids(["did:web:a.example%3A80", "did:plc:ewvi7nxzyoun6zhxrhs64oiz"])
            .unwrap()
            .kinds([ClientKind::Commit, ClientKind::Sync]);
        assert_eq!(
            query(&filter, Protocol::V1),
            "wantedCollections=app.bsky.feed.post&wantedCollections=app.bsky.graph.*\
             &wantedDids=did:plc:ewvi7nxzyoun6zhxrhs64oiz&wantedDids=did:web:a.example%253A80\
             &gaps=true&compress=true&cursor=7"
        );
        assert_eq!(
            query(&filter, Protocol::V2),
            "collections=app.bsky.feed.post&collections=app.bsky.graph.*\
             &dids=did:plc:ewvi7nxzyoun6zhxrhs64oiz&dids=did:web:a.example%253A80\
             &kinds=commit&kinds=sync&zstdDictionary=9&cursor=7"
        );
    }

    #[test]
    fn what_a_version_would_refuse_is_not_said() {
        // `app.x` is not an NSID, so version 2 refuses `app.*`.
        let wide = ClientFilter::new()
            .collections(["app.*", "app.bsky.feed.post"])
            .unwrap();
        assert_eq!(query(&wide, Protocol::V2), "zstdDictionary=9&cursor=7");
        assert!(query(&wide, Protocol::V1).starts_with("wantedCollections=app.*&"));
        // Collections and no commits: version 2 refuses that too.
        let none = wide.kinds([ClientKind::Account]);
        assert_eq!(
            query(&none, Protocol::V2),
            "kinds=account&zstdDictionary=9&cursor=7"
        );
        let only = "wantedCollections=invalid.jetwash.none&gaps";
        assert!(query(&none, Protocol::V1).starts_with(only));
        let many = (0..101).map(|number| format!("a.b.c{number}"));
        let many = ClientFilter::new().collections(many).unwrap();
        assert!(Pushed::new(&many, Protocol::V1, false).is_empty());
        let many = (0..10_001).map(|number| format!("did:web:a{number}.example"));
        let many = ClientFilter::new().dids(many).unwrap();
        assert!(!Pushed::new(&many, Protocol::V2, false).has_dids());
    }

    #[test]
    fn a_long_filter_goes_into_the_first_message() {
        let dids: Vec<String> = (0..200)
            .map(|number| format!("did:web:a{number}.example"))
            .collect();
        let filter = ClientFilter::new().dids(&dids).unwrap();
        let pushed = Pushed::new(&filter, Protocol::V1, false);
        let request = pushed.request(Protocol::V1, Start::default());
        assert_eq!(request.query, "requireHello=true&gaps=true");
        let hello: serde_json::Value = serde_json::from_str(&request.hello.unwrap()).unwrap();
        assert_eq!(hello["type"], "options_update");
        assert_eq!(
            hello["payload"]["wantedDids"].as_array().unwrap().len(),
            200
        );
        let request = pushed.request(Protocol::V2, Start::default());
        assert!(request.hello.is_none() && request.query.len() > 4000);
    }
}
