use std::borrow::Cow;

use jetwash_event::{Cid, Encoder, ToCbor};

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
    checks_cids: bool,
}

/// A record, and whether it is the one that its CID names.
#[derive(Debug)]
pub(super) struct RecordForm<'t> {
    pub(super) json: Cow<'t, [u8]>,
    pub(super) cid: CidCheck,
}

/// The outcome of comparing a record with its CID. A mismatch is a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CidCheck {
    Off,
    Matches,
    /// The record has a fraction, and need not have come back as it was.
    Unknown,
}

impl RecordText {
    /// Has records compared with their CIDs.
    pub(super) const fn check_cids(&mut self, checks: bool) {
        self.checks_cids = checks;
    }

    /// Returns a record in the form that lines have here.
    pub(super) fn form<'t>(
        &mut self,
        json: &'t str,
        cid: &Cid,
        encoder: &mut Encoder,
    ) -> Result<RecordForm<'t>, Fault> {
        if !self.checks_cids && is_our_form(json) {
            return Ok(RecordForm {
                json: Cow::Borrowed(json.as_bytes()),
                cid: CidCheck::Off,
            });
        }
        self.cbor.clear();
        self.to_cbor
            .encode(json, &mut self.cbor)
            .map_err(Fault::RecordJson)?;
        let cid = self.compare(json, cid)?;
        let json = match is_our_form(json) {
            true => Cow::Borrowed(json.as_bytes()),
            false => Cow::Owned(self.write(json, encoder)?),
        };
        // One large record must not hold its memory for ever.
        self.cbor.shrink_to(KEPT);
        Ok(RecordForm { json, cid })
    }

    /// Whether the record is the one that its CID names.
    fn compare(&self, json: &str, cid: &Cid) -> Result<CidCheck, Fault> {
        let is_dag_cbor = cid.as_bytes().get(1) == Some(&DAG_CBOR);
        match self.checks_cids {
            false => Ok(CidCheck::Off),
            true if is_dag_cbor && cid.matches(&self.cbor) => Ok(CidCheck::Matches),
            true if has_fraction(json.as_bytes()) => Ok(CidCheck::Unknown),
            true => Err(Fault::RecordCid),
        }
    }

    /// Writes the record that is there as DAG-CBOR.
    fn write(&self, json: &str, encoder: &mut Encoder) -> Result<Vec<u8>, Fault> {
        let mut written = Vec::with_capacity(json.len());
        encoder
            .record_to_json(&self.cbor, &mut written)
            .map_err(Fault::Record)?;
        Ok(written)
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

/// Whether JSON has a number with a fraction or an exponent, which stands for a float.
fn has_fraction(json: &[u8]) -> bool {
    let (mut in_string, mut bytes) = (false, json.iter());
    let mut before = 0_u8;
    while let Some(&byte) = bytes.next() {
        match (in_string, byte) {
            (_, b'"') => in_string = !in_string,
            (true, b'\\') => drop(bytes.next()),
            (false, b'.') => return true,
            (false, b'e' | b'E') if before.is_ascii_digit() => return true,
            _ => {}
        }
        before = byte;
    }
    false
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
/// The code of DAG-CBOR in a CID.
const DAG_CBOR: u8 = 0x71;

#[cfg(test)]
mod tests {
    use super::*;

    /// That of `{}`: the hash of the byte a0.
    fn cid() -> Cid {
        let text = "bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua";
        text.parse().unwrap()
    }

    #[test]
    fn a_record_is_compared_with_its_cid_if_that_is_asked_for() {
        let (mut text, mut encoder) = (RecordText::default(), Encoder::new());
        let mut check = |json, checks| {
            text.check_cids(checks);
            text.form(json, &cid(), &mut encoder).map(|form| form.cid)
        };
        assert_eq!(check("{}", true), Ok(CidCheck::Matches));
        assert_eq!(check("{ }", true), Ok(CidCheck::Matches));
        assert_eq!(check(r#"{"a":1}"#, true), Err(Fault::RecordCid));
        assert_eq!(check(r#"{"a":"1.5 \" 2e3"}"#, true), Err(Fault::RecordCid));
        for json in [r#"{"a":1.5}"#, r#"{"a":1e3}"#, r#"{"b":"\"","a":1E3}"#] {
            assert_eq!(check(json, true), Ok(CidCheck::Unknown), "{json}");
        }
        assert_eq!(
            check(r#"{"a":true,"b":false}"#, true),
            Err(Fault::RecordCid)
        );
        assert_eq!(check(r#"{"a":1}"#, false), Ok(CidCheck::Off));
    }

    #[test]
    fn a_record_is_never_that_of_a_cid_of_plain_bytes() {
        let mut text = RecordText::default();
        text.check_cids(true);
        // The same hash, and another code in front of it.
        let raw: Cid = "bafkreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua"
            .parse()
            .unwrap();
        assert!(raw.matches(&[0xa0]));
        let outcome = text.form("{}", &raw, &mut Encoder::new());
        assert_eq!(outcome.map(|form| form.cid), Err(Fault::RecordCid));
    }

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
            let form = text.form(json, &cid(), &mut encoder).unwrap();
            assert_eq!(String::from_utf8_lossy(&form.json), expected, "{json}");
        }
    }

    #[test]
    fn a_record_that_no_repository_can_hold_is_refused() {
        let (mut text, mut encoder) = (RecordText::default(), Encoder::new());
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(1000), "]".repeat(1000));
        for json in [deep.as_str(), "[]", r#""a""#, r#"{"a": 1e999}"#] {
            text.form(json, &cid(), &mut encoder).unwrap_err();
        }
    }
}
