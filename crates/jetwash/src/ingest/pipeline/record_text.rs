use std::borrow::Cow;

use jetwash_event::{Encoder, ToCbor};

use crate::ingest::pipeline::fault::Fault;

/// Brings the JSON of records into the form that lines have here.
///
/// A Jetstream of version 1 writes records as we do, and version 2 too, but for the order of the
/// keys of blobs, and for backspaces and form feeds, which it writes with letters. So a record is
/// looked at once, and is only written anew if it differs in something that can be seen: white
/// space, escapes, blobs, or depth. The order of other keys is taken over as it is.
#[derive(Debug, Default)]
pub(super) struct RecordText {
    to_cbor: ToCbor,
    cbor: Vec<u8>,
}

impl RecordText {
    /// Returns a record in the form that lines have here.
    pub(super) fn form<'t>(
        &mut self,
        json: &'t str,
        encoder: &mut Encoder,
    ) -> Result<Cow<'t, [u8]>, Fault> {
        if is_our_form(json) {
            return Ok(Cow::Borrowed(json.as_bytes()));
        }
        self.cbor.clear();
        self.to_cbor
            .encode(json, &mut self.cbor)
            .map_err(Fault::RecordJson)?;
        let mut written = Vec::with_capacity(json.len());
        encoder
            .record_to_json(&self.cbor, &mut written)
            .map_err(Fault::Record)?;
        // One large record must not hold its memory for ever.
        self.cbor.shrink_to(KEPT);
        Ok(Cow::Owned(written))
    }
}

/// Whether JSON, which is valid, is an object written as lines have it.
fn is_our_form(json: &str) -> bool {
    json.starts_with('{') && !json.contains(BLOB_OF_V2) && is_compact(json.as_bytes())
}

/// Whether there is no white space between the tokens, no deep nesting, and every string has exactly
/// the escapes that Go's `encoding/json` writes.
fn is_compact(json: &[u8]) -> bool {
    let (mut depth, mut in_string, mut at) = (0_usize, false, 0);
    while let Some(&byte) = json.get(at) {
        at += 1;
        if in_string {
            match byte {
                b'"' => in_string = false,
                b'\\' => match escape(json.get(at..).unwrap_or_default()) {
                    Some(length) => at += length,
                    None => return false,
                },
                b'<' | b'>' | b'&' => return false,
                // U+2028 and U+2029 are always escaped.
                0xe2 if matches!(json.get(at..at + 2), Some([0x80, 0xa8 | 0xa9])) => return false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => {
                depth += 1;
                if depth > DEEP {
                    return false;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b' ' | b'\t' | b'\n' | b'\r' => return false,
            _ => {}
        }
    }
    true
}

/// The length of an escape behind its backslash, if it is one that is written here.
fn escape(rest: &[u8]) -> Option<usize> {
    match rest {
        [b'"' | b'\\' | b'n' | b'r' | b't', ..] => Some(1),
        // These have letters.
        [b'u', b'0', b'0', b'0', b'9' | b'a' | b'd', ..] => None,
        [b'u', b'0', b'0', b'0' | b'1', b'0'..=b'9' | b'a'..=b'f', ..] => Some(5),
        [b'u', b'0', b'0', b'2', b'6', ..] => Some(5),
        [b'u', b'0', b'0', b'3', b'c' | b'e', ..] => Some(5),
        [b'u', b'2', b'0', b'2', b'8' | b'9', ..] => Some(5),
        [b'u', b'f', b'f', b'f', b'd', ..] => Some(5),
        _ => None,
    }
}

/// How a blob begins whose keys are in alphabetical order.
const BLOB_OF_V2: &str = r#""$type":"blob","mimeType""#;
/// Deeper records are for the encoder to judge.
const DEEP: usize = 64;
const KEPT: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_as_we_write_it_is_taken_over() {
        for json in [
            r#"{"$type":"a.b.c","text":"\u003c3 & so on"}"#.replace('&', "\\u0026"),
            r#"{"a":[1,-2,{"b":"\"\\ \n\u0001"}],"c":"é 💦"}"#.to_owned(),
            r#"{"$type":"blob","ref":{"$link":"x"},"mimeType":"a/b","size":1}"#.to_owned(),
        ] {
            assert!(is_our_form(&json), "{json}");
        }
    }

    #[test]
    fn a_record_that_another_wrote_is_written_anew() {
        let (mut text, mut encoder) = (RecordText::default(), Encoder::new());
        for (json, expected) in [
            (r#"{"a": 1}"#, r#"{"a":1}"#),
            ("{\n\"a\":1}", r#"{"a":1}"#),
            (r#"{"a":"<&>"}"#, r#"{"a":"\u003c\u0026\u003e"}"#),
            (r#"{"a":"\/\u00e9"}"#, r#"{"a":"/é"}"#),
            (
                r#"{"a":"\b\f\u0009\u001F"}"#,
                r#"{"a":"\u0008\u000c\t\u001f"}"#,
            ),
            ("{\"a\":\"\u{2028}\"}", r#"{"a":"\u2028"}"#),
        ] {
            let form = text.form(json, &mut encoder).unwrap();
            assert_eq!(String::from_utf8_lossy(&form), expected, "{json}");
        }
    }

    #[test]
    fn a_record_that_no_repository_can_hold_is_refused() {
        let (mut text, mut encoder) = (RecordText::default(), Encoder::new());
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(1000), "]".repeat(1000));
        for json in [deep.as_str(), "[]", r#""a""#, r#"{"a": 1e999}"#] {
            text.form(json, &mut encoder).unwrap_err();
        }
    }
}
