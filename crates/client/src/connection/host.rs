use std::fmt;
use std::sync::Arc;

use thiserror::Error;

use crate::protocol::Protocol;

/// Where a connection leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    pub(crate) is_tls: bool,
    /// A name, or an address without brackets.
    pub(crate) name: String,
    pub(crate) port: u16,
    /// Name and port as a request has them.
    pub(crate) authority: String,
}

/// A Jetstream server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    pub(crate) location: Location,
    /// The path before that of the protocol, without a slash at the end.
    base: String,
    /// The version that its path names.
    pub(crate) protocol: Option<Protocol>,
    /// The name that it has in cursors and snapshots.
    pub(crate) name: Arc<str>,
}

impl Host {
    /// Reads a host's name, or a URL with or without the path of a version.
    pub(crate) fn parse(text: &str) -> Result<Self, HostError> {
        let error = |reason| HostError {
            text: text.chars().take(MAX_SHOWN).collect(),
            reason,
        };
        let (location, path) = Location::parse(text).map_err(error)?;
        if path.contains(['?', '#']) {
            return Err(error("it has a query, which the client sets itself"));
        }
        let path = path.trim_end_matches('/');
        let (base, protocol) = if let Some(base) = path.strip_suffix(Protocol::V1.path()) {
            (base, Some(Protocol::V1))
        } else if let Some(base) = path.strip_suffix(Protocol::V2.path()) {
            (base, Some(Protocol::V2))
        } else {
            (path, None)
        };
        let scheme = if location.is_tls { "wss" } else { "ws" };
        let name = format!("{scheme}://{}{base}", location.authority).into();
        Ok(Self {
            location,
            base: base.to_owned(),
            protocol,
            name,
        })
    }

    /// The path of a version's stream.
    pub(crate) fn stream_path(&self, protocol: Protocol) -> String {
        format!("{}{}", self.base, protocol.path())
    }

    /// The path of a dictionary; `None` stands for the one in use.
    pub(crate) fn dictionary_path(&self, id: Option<u32>) -> String {
        let query = id.map_or_else(String::new, |id| format!("?id={id}"));
        format!("{}{DICTIONARY_PATH}{query}", self.base)
    }
}

impl Location {
    /// Splits a URL, or a host with a path, into where it leads and the path with the query.
    pub(crate) fn parse(text: &str) -> Result<(Self, &str), &'static str> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("wss", text));
        let is_tls = match scheme.to_ascii_lowercase().as_str() {
            "wss" | "https" => true,
            "ws" | "http" => false,
            _ => return Err("its scheme is not wss, ws, https or http"),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if !path.bytes().all(|byte| (b'!'..=b'~').contains(&byte)) {
            return Err("its path has characters that must be percent-encoded");
        }
        if authority.contains('@') {
            return Err("user and password are not supported");
        }
        let (name, port) = match authority.rfind(':') {
            Some(colon) if !authority.ends_with(']') => {
                (&authority[..colon], Some(&authority[colon + 1..]))
            }
            _ => (authority, None),
        };
        let usual = if is_tls { 443 } else { 80 };
        let port = match port {
            Some(digits) => digits.parse().map_err(|_| "its port is not a number")?,
            None => usual,
        };
        let inner = name
            .strip_prefix('[')
            .and_then(|name| name.strip_suffix(']'));
        let is_valid = match inner {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => is_name(name),
        };
        if !is_valid || port == 0 {
            return Err("it names no valid host; international names must be in their ASCII form");
        }
        let shown = name.to_ascii_lowercase();
        let authority = if port == usual {
            shown
        } else {
            format!("{shown}:{port}")
        };
        let location = Self {
            is_tls,
            name: inner.unwrap_or(name).to_ascii_lowercase(),
            port,
            authority,
        };
        Ok((location, path))
    }
}

/// Why a text is not the address of a Jetstream server.
///
/// # Examples
///
/// ```
/// use jetwash_client::{Client, ClientBuildError};
///
/// let Err(ClientBuildError::Host(error)) = Client::builder(["ftp://a.example"]).build() else {
///     panic!("the scheme is wrong");
/// };
/// assert_eq!(error.text, "ftp://a.example");
/// ```
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("the host {text:?} is not usable: {reason}")]
#[non_exhaustive]
pub struct HostError {
    /// The text, cut to 200 characters.
    pub text: String,
    /// The fault.
    pub reason: &'static str,
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

fn is_name(name: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    !name.is_empty() && name.len() <= 253 && name.bytes().all(is_part)
}

const DICTIONARY_PATH: &str = "/xrpc/network.bsky.jetstream.getZstdDictionary";
const MAX_SHOWN: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_a_url_and_a_path_are_read() {
        let bare = Host::parse("Jetstream2.us-east.bsky.network").unwrap();
        assert_eq!(&*bare.name, "wss://jetstream2.us-east.bsky.network");
        assert_eq!(
            (bare.location.is_tls, bare.location.port, bare.protocol),
            (true, 443, None)
        );
        let v1 = Host::parse("ws://[::1]:6008/subscribe").unwrap();
        assert_eq!(
            (&*v1.name, v1.protocol),
            ("ws://[::1]:6008", Some(Protocol::V1))
        );
        assert_eq!(v1.location.name, "::1");
        let v2 = "https://a.example/base/xrpc/network.bsky.jetstream.subscribeEvents";
        let v2 = Host::parse(v2).unwrap();
        assert_eq!(
            (&*v2.name, v2.protocol),
            ("wss://a.example/base", Some(Protocol::V2))
        );
        assert_eq!(v2.stream_path(Protocol::V1), "/base/subscribe");
        let dictionary = "/base/xrpc/network.bsky.jetstream.getZstdDictionary?id=7";
        assert_eq!(v2.dictionary_path(Some(7)), dictionary);
        assert_eq!(
            Host::parse("a.example:443/").unwrap().name,
            Host::parse("a.example").unwrap().name
        );
    }

    #[test]
    fn what_is_not_a_host_is_refused_with_the_reason() {
        for text in [
            "",
            "ftp://a.example",
            "ws://",
            "ws://a b",
            "ws://u:p@a.example",
            "ws://a:x",
            "ws://a:70000",
            "ws://a:0",
            "ws://[::g]",
            "ws://a/?x",
            "ws://ä.example",
            "a/ä",
        ] {
            Host::parse(text).unwrap_err();
        }
        let long = "a".repeat(100_000);
        assert_eq!(Host::parse(&long).unwrap_err().text.len(), 200);
    }
}
