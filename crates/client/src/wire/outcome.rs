//! How a message is read that may have to be written anew first.

use bytes::Bytes;
use jetwash_event::Micros;

use super::event::ClientEvent;
use super::malformed::Malformed;
use super::message::Message;
use super::parts::{Parts, Span};

/// The outcome of reading a text.
pub(super) enum Outcome {
    Event(Read),
    Other(Message),
    /// An identifier has escapes, and so does not lie in the text: this is the text without them.
    Escaped(String),
}

/// An event without its text.
pub(super) struct Read {
    pub(super) did: Span,
    pub(super) time: Micros,
    pub(super) seq: Option<u64>,
    pub(super) parts: Parts,
}

/// Reads a message; if an identifier has escapes, the text without them is read instead.
pub(super) fn read_with(
    text: Bytes,
    reader: impl Fn(&str) -> Result<Outcome, Malformed>,
) -> Result<Message, Malformed> {
    let event = |read: Read, text: Bytes| {
        let Read {
            did,
            time,
            seq,
            parts,
        } = read;
        Message::Event(ClientEvent::new(text, did, time, seq, parts))
    };
    let borrowed = std::str::from_utf8(&text).map_err(|_| Malformed::Utf8)?;
    match reader(borrowed)? {
        Outcome::Event(read) => Ok(event(read, text)),
        Outcome::Other(message) => Ok(message),
        Outcome::Escaped(plain) => match reader(&plain)? {
            Outcome::Event(read) => Ok(event(read, plain.into())),
            Outcome::Other(message) => Ok(message),
            Outcome::Escaped(_) => Err(Malformed::Json),
        },
    }
}
