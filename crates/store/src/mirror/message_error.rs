use thiserror::Error;

/// Why bytes are not a [`LogMessage`](crate::LogMessage).
///
/// # Examples
///
/// ```
/// use jetwash_store::{LogMessage, LogMessageError};
///
/// let error = LogMessage::decode(vec![9, 0, 0].into());
/// assert_eq!(error, Err(LogMessageError::Type { byte: 9 }));
/// ```
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogMessageError {
    /// The first byte names no type of message.
    #[error("a message of the log has the unknown type {byte}")]
    Type {
        /// The byte.
        byte: u8,
    },
    /// The message, or a part of it, is longer than allowed.
    #[error("a message of the log has {part} of {length} bytes, more than {limit}")]
    TooLong {
        /// Which part.
        part: &'static str,
        /// Its length in bytes.
        length: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The message is cut short, or has bytes left over.
    #[error("a message of the log has another length than {message} has")]
    Length {
        /// Which message it is.
        message: &'static str,
    },
    /// The events are damaged.
    #[error("the events of a message of the log are damaged: {what}")]
    Events {
        /// The kind of damage.
        what: &'static str,
    },
    /// The gap is impossible.
    #[error("the gap in a message of the log is impossible: {what}")]
    Gap {
        /// The fault.
        what: &'static str,
    },
}
