use bytes::Bytes;

use super::event::ClientEvent;
use super::malformed::Malformed;
use super::message::Message;
use super::{v1, v2};
use crate::protocol::Protocol;

/// Reads a message.
pub(crate) fn read(protocol: Protocol, text: Bytes) -> Result<Message, Malformed> {
    match protocol {
        Protocol::V1 => v1::read(text),
        Protocol::V2 => v2::read(text),
    }
}

impl ClientEvent {
    /// Reads the text of a message of this version.
    ///
    /// # Errors
    ///
    /// When it is malformed, or not an event but a notice or an error: then with
    /// [`Malformed::Json`].
    pub fn parse(protocol: Protocol, text: impl Into<Bytes>) -> Result<Self, Malformed> {
        match read(protocol, text.into())? {
            Message::Event(event) => Ok(event),
            _ => Err(Malformed::Json),
        }
    }
}
