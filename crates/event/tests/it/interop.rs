//! Records from the protocol's vectors and from other implementations.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use ipld_core::ipld::Ipld;
use jetwash_corpus::corpus;
use jetwash_event::Encoder;
use serde_json::Value;

fn record_to_json(record: &[u8]) -> Option<Value> {
    let mut out = Vec::new();
    Encoder::new().record_to_json(record, &mut out).ok()?;
    Some(serde_json::from_slice(&out).unwrap())
}

/// The same JSON as DAG-CBOR, every map a map and every number with a point a float.
fn encode(json: &Value) -> Vec<u8> {
    serde_ipld_dagcbor::to_vec(json).unwrap()
}

/// The same JSON as DAG-CBOR, with links and byte strings where the maps stand for some.
fn encode_data(json: &Value) -> Vec<u8> {
    serde_ipld_dagcbor::to_vec(&data(json)).unwrap()
}

fn data(json: &Value) -> Ipld {
    match json {
        Value::Null => Ipld::Null,
        Value::Bool(value) => Ipld::Bool(*value),
        Value::Number(number) => match number.as_i64() {
            Some(value) => Ipld::Integer(value.into()),
            None => Ipld::Float(number.as_f64().unwrap()),
        },
        Value::String(text) => Ipld::String(text.clone()),
        Value::Array(items) => Ipld::List(items.iter().map(data).collect()),
        Value::Object(map) => {
            let field = |name: &str| match map.get(name) {
                Some(Value::String(text)) if map.len() == 1 => Some(text),
                _ => None,
            };
            if let Some(cid) = field("$link").and_then(|text| text.parse().ok()) {
                return Ipld::Link(cid);
            }
            if let Some(bytes) = field("$bytes").and_then(|text| STANDARD_NO_PAD.decode(text).ok())
            {
                return Ipld::Bytes(bytes);
            }
            let entries = map.iter().map(|(key, value)| (key.clone(), data(value)));
            Ipld::Map(entries.collect())
        }
    }
}

#[test]
fn the_data_model_fixtures_come_out_as_their_json() {
    let Some(corpus) = corpus("the data model fixtures") else {
        return;
    };
    for name in [
        "atproto-interop-tests/data-model/data-model-fixtures.json",
        "cbor/cbor_data_model_fixtures.json",
    ] {
        for fixture in corpus.json(name).as_array().unwrap() {
            let cbor = fixture["cbor_base64"].as_str().unwrap();
            let record = STANDARD_NO_PAD.decode(cbor).unwrap();
            assert_eq!(record_to_json(&record).as_ref(), Some(&fixture["json"]));
        }
    }
}

#[test]
fn valid_data_is_written_and_invalid_data_refused() {
    let Some(corpus) = corpus("the data model lists") else {
        return;
    };
    let folder = "atproto-interop-tests/data-model";
    for entry in corpus
        .json(&format!("{folder}/data-model-valid.json"))
        .as_array()
        .unwrap()
    {
        let json = record_to_json(&encode(&entry["json"]));
        // 123 and 123.0 are different values to serde_json.
        let expected = entry["json"].to_string().replace("123.0", "123");
        assert_eq!(
            json,
            Some(serde_json::from_str(&expected).unwrap()),
            "{entry}"
        );
    }
    for entry in corpus
        .json(&format!("{folder}/data-model-invalid.json"))
        .as_array()
        .unwrap()
    {
        assert_eq!(record_to_json(&encode(&entry["json"])), None, "{entry}");
    }
}

#[test]
fn the_lexicon_vectors_come_out_as_their_json() {
    let Some(corpus) = corpus("the lexicon JSON vectors") else {
        return;
    };
    let vectors = corpus.json("cbor/lex_json_vectors.json");
    for entry in vectors["special"].as_array().unwrap() {
        // Some are no maps; inside one, any value can stand.
        let record = serde_json::json!({"value": entry["json"]});
        assert_eq!(record_to_json(&encode_data(&record)), Some(record));
    }
    for entry in vectors["rejected"].as_array().unwrap() {
        let record = serde_json::json!({"value": entry["json"]});
        assert_eq!(record_to_json(&encode_data(&record)), None, "{entry}");
    }
}

#[test]
fn what_the_lexicon_vectors_leave_plain_is_written_if_it_breaks_no_rule() {
    let Some(corpus) = corpus("the plain lexicon JSON vectors") else {
        return;
    };
    // The vectors follow a reference that lets malformed special maps pass as maps. Production
    // drops such records, and so do we.
    let refused = [
        "non string $type",
        "blob with wrong field type",
        "blob with missing key",
        "blob with extra fields",
        "bytes with extra fields",
        "link with extra fields",
        "$bytes and $link",
        "$bytes and $type",
        "$link and $type",
        "object with empty $type",
        "bytes with wrong field type",
        "invalid base64 in $bytes",
        "link with wrong field type",
        "link with bogus CID",
    ];
    let vectors = corpus.json("cbor/lex_json_vectors.json");
    let mut used = 0;
    for entry in vectors["plain"].as_array().unwrap() {
        let note = entry["note"].as_str().unwrap();
        let record = serde_json::json!({"value": entry["json"]});
        let written = record_to_json(&encode_data(&record));
        let is_refused = refused.contains(&note);
        if note.starts_with("data-model-invalid") {
            assert_eq!(
                record_to_json(&encode_data(&entry["json"])),
                None,
                "{entry}"
            );
        } else if is_refused {
            assert_eq!(written, None, "{entry}");
            used += 1;
        } else {
            let json = entry.get("roundtrip").unwrap_or_else(|| &entry["json"]);
            assert_eq!(written, Some(serde_json::json!({"value": json})), "{entry}");
        }
    }
    assert_eq!(used, refused.len(), "an unused exception");
}
