//! Records as JSON, written as DAG-CBOR.
//!
//! Source: the data model specification, "JSON representation".

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use jetwash_cbor::{CborWriter, Cid, CidError};
use serde_json::{Map, Value};
use thiserror::Error;

/// The DAG-CBOR of a record.
pub(crate) fn encode(record: &Value) -> Result<Vec<u8>, RecordJsonError> {
    if !record.is_object() {
        return Err(RecordJsonError::NoObject);
    }
    let mut writer = CborWriter::new();
    write(&mut writer, record, 0)?;
    Ok(writer.into_bytes())
}

/// Why a JSON value cannot be a record.
///
/// # Examples
///
/// ```
/// use jetwash_sim::{ChangeFault, ManualNetwork, RecordJsonError, SimChange, did};
/// use serde_json::json;
///
/// let change = SimChange::create(did(0), "app.example.post", "1", json!({"n": 1.5}));
/// let error = ManualNetwork::new().apply(&change).unwrap_err();
/// let expected = RecordJsonError::Number("1.5".to_owned());
/// assert_eq!(error.reason, ChangeFault::Record(expected));
/// ```
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordJsonError {
    /// `$bytes` that is not base 64.
    #[error("$bytes {0:?} is not base 64")]
    Bytes(String),
    /// More levels than a reader of records accepts.
    #[error("more than {MAX_DEPTH} levels of nesting")]
    Depth,
    /// `$link` that is not a CID.
    #[error("$link {text:?}: {reason}")]
    Link {
        /// The value found.
        text: String,
        /// The fault.
        reason: CidError,
    },
    /// A record is an object.
    #[error("a record must be an object")]
    NoObject,
    /// The data model has integers of 64 bits and no others.
    #[error("the number {0} is not an integer of 64 bits, and the data model has no others")]
    Number(String),
}

fn write(writer: &mut CborWriter, value: &Value, depth: usize) -> Result<(), RecordJsonError> {
    if depth > MAX_DEPTH {
        return Err(RecordJsonError::Depth);
    }
    match value {
        Value::Null => _ = writer.null(),
        Value::Bool(value) => _ = writer.boolean(*value),
        Value::Number(number) => match number.as_i64() {
            Some(number) => _ = writer.integer(number),
            None => return Err(RecordJsonError::Number(number.to_string())),
        },
        Value::String(text) => _ = writer.text(text),
        Value::Array(items) => {
            writer.array(items.len());
            for item in items {
                write(writer, item, depth + 1)?;
            }
        }
        Value::Object(pairs) => write_object(writer, pairs, depth)?,
    }
    Ok(())
}

fn write_object(
    writer: &mut CborWriter,
    pairs: &Map<String, Value>,
    depth: usize,
) -> Result<(), RecordJsonError> {
    // Only an object whose one field is `$link` or `$bytes` stands for something else.
    if let Some(text) = only(pairs, "$link") {
        let cid: Cid = text.parse().map_err(|reason| RecordJsonError::Link {
            text: text.to_owned(),
            reason,
        })?;
        writer.link(&cid);
        return Ok(());
    }
    if let Some(text) = only(pairs, "$bytes") {
        let bytes = STANDARD_NO_PAD
            .decode(text.trim_end_matches('='))
            .map_err(|_| RecordJsonError::Bytes(text.to_owned()))?;
        writer.bytes(&bytes);
        return Ok(());
    }
    let mut sorted: Vec<(&String, &Value)> = pairs.iter().collect();
    sorted.sort_unstable_by_key(|(key, _)| (key.len(), *key));
    writer.map(sorted.len());
    for (key, value) in sorted {
        write(writer.text(key), value, depth + 1)?;
    }
    Ok(())
}

/// The text of an object's only field, if that is its name.
fn only<'a>(pairs: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    let text = pairs.get(name)?.as_str()?;
    (pairs.len() == 1).then_some(text)
}

/// Far more than real records have, and less than readers refuse.
const MAX_DEPTH: usize = 64;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_become_what_the_data_model_says() {
        // Written by hand: keys in order of length, then of bytes.
        let record = json!({"bb": [1, -1, null], "a": "x", "c": {"$bytes": "AQI"}, "ab": true});
        let expected = b"\xa4\x61a\x61x\x61c\x42\x01\x02\x62ab\xf5\x62bb\x83\x01\x20\xf6";
        assert_eq!(encode(&record).unwrap(), expected);
    }

    #[test]
    fn a_link_becomes_a_tagged_cid() {
        let cid = "bafyreib25swk3a6waplk2ie75u4a3qfejnkoiezfowuz7sa74i7tief3di";
        let bytes = encode(&json!({"l": {"$link": cid}})).unwrap();
        assert_eq!(bytes[..9], *b"\xa1\x61l\xd8\x2a\x58\x25\x00\x01");
        assert_eq!(bytes.len(), 7 + 1 + Cid::LENGTH);
    }

    #[test]
    fn what_the_data_model_does_not_have_is_refused() {
        let refused = |record: Value| encode(&record).unwrap_err();
        assert_eq!(refused(json!("text")), RecordJsonError::NoObject);
        assert_eq!(
            refused(json!({"x": 1.5})),
            RecordJsonError::Number("1.5".to_owned())
        );
        assert!(matches!(
            refused(json!({"x": {"$link": "bafy"}})),
            RecordJsonError::Link { .. }
        ));
        assert!(matches!(
            refused(json!({"x": {"$bytes": "?"}})),
            RecordJsonError::Bytes(_)
        ));
        let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
        assert_eq!(refused(json!({"x": deep})), RecordJsonError::Depth);
    }
}
