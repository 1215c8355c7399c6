use bytes::BytesMut;

/// News from the other end of a [`Socket`](crate::Socket).
///
/// # Examples
///
/// ```
/// use bytes::Bytes;
/// use jetwash_websocket::Incoming;
///
/// // A payload shares the memory that it was read into: to freeze it copies nothing.
/// let payload = |incoming: Incoming| match incoming {
///     Incoming::Text(bytes) | Incoming::Binary(bytes) => bytes.freeze(),
///     Incoming::Sign | Incoming::Skipped(..) => Bytes::new(),
/// };
/// assert_eq!(payload(Incoming::Binary("ab".into())), "ab");
/// assert_eq!(payload(Incoming::Sign), "");
/// ```
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming {
    /// The payload of a text message. It has not been checked to be UTF-8.
    Text(BytesMut),
    /// The payload of a binary message.
    Binary(BytesMut),
    /// A ping or pong.
    Sign,
    /// A message that was not taken, and its length in bytes.
    Skipped(Skipped, u64),
}

/// Why a message was not taken.
///
/// # Examples
///
/// ```
/// use jetwash_websocket::Skipped;
///
/// assert_eq!(Skipped::TooLarge.reason(), "message_too_large");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skipped {
    /// It is text, on a socket that takes only binary messages.
    Text,
    /// It is longer than the socket takes.
    TooLarge,
}

impl Skipped {
    /// Returns a short name, for the label of a counter.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Text => "message_is_text",
            Self::TooLarge => "message_too_large",
        }
    }
}
