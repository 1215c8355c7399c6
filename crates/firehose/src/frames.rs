//! The frames that are a relay's own.
//!
//! Source: the event stream specification, "Streaming wire protocol".

use jetwash_cbor::CborWriter;

/// An `#info` message about the stream.
pub(crate) fn info(name: &str, message: &str) -> Vec<u8> {
    let mut writer = CborWriter::new();
    writer.map(2).text("t").text("#info").text("op").unsigned(1);
    writer.map(2).text("name").text(name);
    writer.text("message").text(message);
    writer.into_bytes()
}

/// An error, after which the stream ends.
pub(crate) fn error(error: &str, message: &str) -> Vec<u8> {
    let mut writer = CborWriter::new();
    writer.map(1).text("op").integer(-1);
    writer.map(2).text("error").text(error);
    writer.text("message").text(message);
    writer.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::{error, info};

    #[test]
    fn frames_are_those_of_the_specification() {
        // Written by hand from RFC 8949: maps with their shortest keys first.
        let expected = b"\xa2\x61t\x65#info\x62op\x01\xa2\x64name\x61n\x67message\x61m";
        assert_eq!(info("n", "m"), expected);
        let expected = b"\xa1\x62op\x20\xa2\x65error\x61e\x67message\x61m";
        assert_eq!(error("e", "m"), expected);
    }
}
