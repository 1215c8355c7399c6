use std::fmt;

/// The versions of Jetstream's protocol.
///
/// # Examples
///
/// ```
/// use jetwash_client::{Client, Protocol};
///
/// let builder = Client::builder(["jetstream.example"]).protocol(Protocol::V1);
/// assert_eq!(Protocol::V1.path(), "/subscribe");
/// # drop(builder);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Protocol {
    /// `/subscribe`: a cursor is a time.
    V1,
    /// `network.bsky.jetstream.subscribeEvents`: a cursor is a number in the host's sequence.
    V2,
}

impl Protocol {
    /// The path of its stream.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::V1 => "/subscribe",
            Self::V2 => "/xrpc/network.bsky.jetstream.subscribeEvents",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
        })
    }
}
