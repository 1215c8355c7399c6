//! The frames that are a relay's own.
//!
//! Source: the event stream specification.

use axum::extract::ws::Message;
use jetwash_cbor::CborWriter;

/// `#info`, which tells a reader something about its stream.
pub(crate) fn info(name: &str, message: &str) -> Message {
    let mut writer = CborWriter::new();
    writer.map(2).text("t").text("#info").text("op").unsigned(1);
    writer.map(2).text("name").text(name);
    writer.text("message").text(message);
    Message::Binary(writer.into_bytes().into())
}

/// An error, after which the stream ends.
pub(crate) fn error(error: &str, message: &str) -> Message {
    let mut writer = CborWriter::new();
    writer.map(1).text("op").integer(-1);
    writer.map(2).text("error").text(error);
    writer.text("message").text(message);
    Message::Binary(writer.into_bytes().into())
}
