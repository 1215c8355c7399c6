use std::io;

use thiserror::Error;

/// Why a websocket was not opened, or ended.
///
/// # Examples
///
/// ```
/// use jetwash_websocket::SocketError;
///
/// let error = SocketError::Protocol("a reserved bit is set");
/// let text = "a message breaks the websocket protocol: a reserved bit is set";
/// assert_eq!(error.to_string(), text);
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SocketError {
    /// The host reads nothing: this number of bytes waits to be sent.
    #[error("the host reads nothing: {0} bytes wait to be sent")]
    Clogged(usize),
    /// The host closed the connection, and why, as far as it said that: text of its own, made
    /// [`short`], after ` with the code …`.
    #[error("the host closed it{}", .0.as_deref().unwrap_or_default())]
    Closed(Option<String>),
    /// The connection was not made, or failed.
    // The text has the cause already, so that it is not the source as well.
    #[error("the connection failed: {0}")]
    Connect(io::Error),
    /// The connection ended within a message.
    #[error("it broke off within a message")]
    CutShort,
    /// The answer to a request is malformed, or does not open a websocket.
    #[error("the answer is not a websocket's: {0}")]
    Handshake(&'static str),
    /// The host sent what RFC 6455 does not allow.
    #[error("a message breaks the websocket protocol: {0}")]
    Protocol(&'static str),
    /// A message of this number of bytes, or more, is not even read past.
    #[error("a message of {0} bytes is too long to be skipped")]
    TooLong(u64),
}

impl From<io::Error> for SocketError {
    fn from(error: io::Error) -> Self {
        Self::Connect(error)
    }
}

/// Returns up to 200 characters of a text from outside, without control characters and without
/// white space around it: for an error or a log line.
///
/// # Examples
///
/// ```
/// use jetwash_websocket::short;
///
/// assert_eq!(short(" slow\u{7} down\n"), "slow down");
/// assert_eq!(short(&"é".repeat(1000)), "é".repeat(200));
/// ```
pub fn short(text: &str) -> String {
    let characters = text.trim().chars();
    characters.filter(|c| !c.is_control()).take(200).collect()
}
