use std::fmt;
use std::str::FromStr;

use thiserror::Error;
use url::Url;

/// The address of a relay, or of another server of `subscribeRepos`.
///
/// A bare host means TLS and the usual path. Its text form is the full address without the cursor,
/// and is the name under which the cursor is kept: two hosts, ports or paths never share one.
///
/// # Examples
///
/// ```
/// use jetwash::Endpoint;
///
/// let bare: Endpoint = "relay1.us-east.bsky.network".parse()?;
/// let full = "wss://relay1.us-east.bsky.network/xrpc/com.atproto.sync.subscribeRepos";
/// assert_eq!(bare.to_string(), full);
///
/// let local: Endpoint = "ws://127.0.0.1:7777".parse()?;
/// assert_eq!(local.to_string(), "ws://127.0.0.1:7777/xrpc/com.atproto.sync.subscribeRepos");
/// # Ok::<(), jetwash::EndpointError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint(Url);

impl Endpoint {
    /// Reads the address of a labeler. A bare host means TLS and the path of `subscribeLabels`.
    pub(super) fn of_labeler(text: &str) -> Result<Self, &'static str> {
        Self::parse(text, SUBSCRIBE_LABELS)
    }

    fn parse(text: &str, path: &str) -> Result<Self, &'static str> {
        let mut url = websocket_url(text)?;
        if url.query_pairs().any(|(key, _)| key == "cursor") {
            return Err("the cursor is jetwash's own business: leave `cursor` out");
        }
        if matches!(url.path(), "" | "/") {
            url.set_path(path);
        }
        // The log has another cursor of each relay under its name with a fragment.
        url.set_fragment(None);
        Ok(Self(url))
    }

    /// The address to connect to, without a cursor.
    pub(super) const fn url(&self) -> &Url {
        &self.0
    }
}

/// An address with this cursor, or none, whatever it had before.
pub(super) fn with_cursor(mut url: Url, cursor: Option<u64>) -> Url {
    if url.query_pairs().any(|(key, _)| key == "cursor") {
        let others = url.query_pairs().filter(|(key, _)| key != "cursor");
        let others: Vec<(String, String)> = others
            .map(|(key, value)| (key.into(), value.into()))
            .collect();
        url.set_query(None);
        if !others.is_empty() {
            url.query_pairs_mut().extend_pairs(others);
        }
    }
    if let Some(cursor) = cursor {
        url.query_pairs_mut()
            .append_pair("cursor", &cursor.to_string());
    }
    url
}

/// Reads the address of a host, or a URL, as one of a websocket. A bare host means TLS. People paste the
/// address of a host's website as well as that of its stream.
pub(super) fn websocket_url(text: &str) -> Result<Url, &'static str> {
    let full = match text.split_once("://") {
        Some(("ws" | "wss", _)) => text.to_owned(),
        Some(("http", rest)) => format!("ws://{rest}"),
        Some(("https", rest)) => format!("wss://{rest}"),
        Some(_) => return Err("the scheme must be ws, wss, http or https"),
        None => format!("wss://{text}"),
    };
    let url = Url::parse(&full).map_err(|_| "it is not a URL")?;
    if url.host_str().is_none_or(str::is_empty) {
        return Err("it names no host");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("user and password are not supported");
    }
    Ok(url)
}

/// The host of an address that has been checked to have one. Without it, what asks for it fails.
pub(super) fn host_of(url: &Url) -> &str {
    debug_assert!(
        url.has_host(),
        "relays, redirects and proxies without a host are refused"
    );
    url.host_str().unwrap_or_default()
}

/// The port of an address whose scheme has been checked to have one.
pub(super) fn port_of(url: &Url) -> u16 {
    let port = url.port_or_known_default();
    debug_assert!(port.is_some(), "only ws, wss, http and https come this far");
    port.unwrap_or_default()
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        Self::parse(text, SUBSCRIBE_REPOS).map_err(|reason| EndpointError {
            text: text.to_owned(),
            reason,
        })
    }
}

/// Why a text is not the address of a relay.
///
/// # Examples
///
/// ```
/// use jetwash::{Endpoint, EndpointError};
///
/// let error: EndpointError = "ftp://relay.example".parse::<Endpoint>().unwrap_err();
/// assert!(error.to_string().contains("the scheme must be ws, wss, http or https"));
/// ```
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "relay {text:?}: {reason}; give a host such as `relay1.us-east.bsky.network` or a \
     websocket URL such as `ws://127.0.0.1:7777`"
)]
pub struct EndpointError {
    /// The text.
    pub text: String,
    /// The mistake in it.
    pub reason: &'static str,
}

const SUBSCRIBE_REPOS: &str = "/xrpc/com.atproto.sync.subscribeRepos";
const SUBSCRIBE_LABELS: &str = "/xrpc/com.atproto.label.subscribeLabels";
