//! JSON back to DAG-CBOR: recorded records by their CIDs, rules by example, anything against an
//! independent encoder.

use ipld_core::ipld::Ipld;
use jetwash_cbor::{Cid, Codec};
use jetwash_corpus::corpus;
use jetwash_event::{
    Encoder, ParsedEvent, RecordCborError, ToCbor, ToCborError, ToCborErrorKind, record_cbor,
};
use proptest::prelude::*;

use crate::oracle::RAW_CID;

fn cbor(json: &str) -> Result<Vec<u8>, ToCborError> {
    let mut out = b"before".to_vec();
    let result = ToCbor::new().encode(json, &mut out);
    let cbor = out.split_off(6);
    assert_eq!(out, b"before");
    if result.is_err() {
        assert!(cbor.is_empty(), "something was left behind");
    }
    result.map(|()| cbor)
}

fn kind(json: &str) -> ToCborErrorKind {
    cbor(json).unwrap_err().kind
}

#[test]
fn recorded_records_come_back_to_their_cid() {
    let Some(corpus) = corpus("recorded records back to DAG-CBOR") else {
        return;
    };
    let mut regenerated = 0;
    for name in [
        "events/golden_v1.jsonl",
        "firehose-2026-07-04/expected_v1.jsonl",
        "events/events_v1_from_repos.jsonl.zst",
    ] {
        for line in corpus.lines(name) {
            let event: ParsedEvent = serde_json::from_str(&line).unwrap();
            let Some(commit) = event.commit().filter(|commit| commit.cid.is_some()) else {
                continue;
            };
            let cbor = commit
                .record_cbor()
                .unwrap_or_else(|error| panic!("{error}: {line}"));
            let cid = Cid::of(Codec::DagCbor, &cbor);
            assert_eq!(Some(cid), commit.cid);
            regenerated += 1;
        }
    }
    assert!(regenerated > 12_000, "only {regenerated} records");
}

#[test]
fn keys_are_ordered_by_length_and_then_by_bytes() {
    let found = cbor(r#"{"aaa":1,"b":2,"a":3,"bb":4,"é":5,"":6}"#).unwrap();
    assert_eq!(
        found,
        b"\xa6\x60\x06\x61a\x03\x61b\x02\x62bb\x04\x62\xc3\xa9\x05\x63aaa\x01"
    );
}

#[test]
fn escapes_are_taken_out_of_keys_and_strings() {
    let found = cbor(r#"{"\u0061":"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00\u2028"}"#).unwrap();
    let text = "\"\\/\u{8}\u{c}\n\r\té😀\u{2028}";
    let mut expected = b"\xa1\x61a".to_vec();
    expected.push(0x60 | text.len() as u8);
    expected.extend(text.as_bytes());
    assert_eq!(found, expected);
}

#[test]
fn integers_are_shortest_and_floats_have_64_bits() {
    let hex = |json: &str| -> String {
        let bytes = cbor(json).unwrap();
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    };
    assert_eq!(hex("0"), "00");
    assert_eq!(hex("-0"), "00");
    assert_eq!(hex("-1"), "20");
    assert_eq!(hex("255"), "18ff");
    assert_eq!(hex("9223372036854775807"), "1b7fffffffffffffff");
    assert_eq!(hex("-9223372036854775808"), "3b7fffffffffffffff");
    assert_eq!(hex("1.5"), "fb3ff8000000000000");
    assert_eq!(hex("1e0"), "fb3ff0000000000000");
    assert_eq!(hex(" [ true , false , null ] "), "83f5f4f6");
}

#[test]
fn links_and_bytes_are_maps_of_one_entry() {
    let json = format!(r#"{{"l":{{"$link":"{RAW_CID}"}},"b":{{"$bytes":"AQI"}}}}"#);
    let found = cbor(&json).unwrap();
    assert_eq!(&found[..10], b"\xa2\x61b\x42\x01\x02\x61l\xd8\x2a");
    assert_eq!(&found[10..17], b"\x58\x25\x00\x01\x55\x12\x20");
    assert_eq!(cbor(r#"{"$bytes":"AQI="}"#).unwrap(), b"\x42\x01\x02");
    for wrong in [
        r#"{"$link":"no cid"}"#,
        r#"{"$link":1}"#,
        r#"{"a":1,"$link":"bafkrei"}"#,
    ] {
        assert_eq!(kind(wrong), ToCborErrorKind::Link, "{wrong}");
    }
    for wrong in [
        r#"{"$bytes":"?"}"#,
        r#"{"$bytes":"AQI","a":1}"#,
        r#"{"$bytes":{}}"#,
    ] {
        assert_eq!(kind(wrong), ToCborErrorKind::Bytes, "{wrong}");
    }
}

#[test]
fn long_containers_have_long_heads() {
    let items = vec!["0"; 300].join(",");
    let found = cbor(&format!("[{items}]")).unwrap();
    assert_eq!(&found[..3], b"\x99\x01\x2c");
    assert_eq!(found.len(), 303);
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    assert_eq!(
        cbor(r#"{"a":[1,99999999999999999999]}"#).unwrap_err(),
        ToCborError {
            offset: 8,
            kind: ToCborErrorKind::IntegerRange
        }
    );
    assert_eq!(kind(r#"{"a":1,"a":2}"#), ToCborErrorKind::DuplicateKey);
    assert_eq!(kind("1e999"), ToCborErrorKind::Float);
    assert_eq!(kind("-0.0"), ToCborErrorKind::Float);
    assert_eq!(kind("-1e-999"), ToCborErrorKind::Float);
    assert_eq!(kind(&"[".repeat(200)), ToCborErrorKind::Depth);
    assert!(cbor(&format!("{}{}", "[".repeat(128), "]".repeat(128))).is_ok());
    for wrong in [
        "",
        "{",
        "[1,]",
        "{\"a\"}",
        "{\"a\":1,}",
        "tru",
        "01",
        "-",
        "1.",
        "1e",
        "1 2",
        "\"",
        "\"\\x\"",
        "\"\\ud800\"",
        "\"\\ud800\\u0041\"",
        "\"\\udc00\"",
        "\"\n\"",
        "{1:2}",
        "'a'",
        "\"\\u12",
    ] {
        assert_eq!(kind(wrong), ToCborErrorKind::Syntax, "{wrong}");
    }
}

#[test]
fn a_record_whose_json_leaves_something_out_is_refused() {
    // The map {"n": 1.0}, which the event's JSON has as {"n":1}.
    let record = b"\xa1\x61n\xfb\x3f\xf0\0\0\0\0\0\0";
    let mut json = Vec::new();
    Encoder::new().record_to_json(record, &mut json).unwrap();
    let cid = Cid::of(Codec::DagCbor, record);
    let json = String::from_utf8(json).unwrap();
    assert_eq!(json, r#"{"n":1}"#);
    assert_eq!(
        record_cbor(&json, &cid),
        Err(RecordCborError::Lossy { cid })
    );
}

fn any_ipld() -> impl Strategy<Value = Ipld> {
    let leaf = prop_oneof![
        Just(Ipld::Null),
        any::<bool>().prop_map(Ipld::Bool),
        any::<i64>().prop_map(|value| Ipld::Integer(value.into())),
        ".{0,40}".prop_map(Ipld::String),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(Ipld::Bytes),
        Just(Ipld::Link(RAW_CID.parse().unwrap())),
    ];
    leaf.prop_recursive(4, 64, 30, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..30).prop_map(Ipld::List),
            prop::collection::btree_map("[a-z\"é]{0,12}", inner, 0..30).prop_map(Ipld::Map),
        ]
    })
}

proptest! {
    #[test]
    fn a_record_survives_the_way_to_json_and_back(
        map in prop::collection::btree_map("[a-z]{1,12}", any_ipld(), 0..30)
    ) {
        let record = serde_ipld_dagcbor::to_vec(&Ipld::Map(map)).unwrap();
        let mut json = Vec::new();
        // What an event cannot carry is another test's matter.
        prop_assume!(Encoder::new().record_to_json(&record, &mut json).is_ok());
        prop_assume!(!json.windows(6).any(|window| window == b"\"cid\":"));
        prop_assert_eq!(cbor(std::str::from_utf8(&json).unwrap()), Ok(record));
    }

    #[test]
    fn nothing_makes_it_panic(text in "[\\[\\]{}:,\"\\\\u0-9a-f.$ e-]{0,60}") {
        let _ = cbor(&text);
    }
}
