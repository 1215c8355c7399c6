//! Records from DAG-CBOR to JSON: rules by example, and any record against the oracle.

use ipld_core::ipld::Ipld;
use jetwash_cbor::{CborWriter, ErrorKind, MAX_DEPTH};
use jetwash_event::{Encoder, RecordError, RecordErrorKind};
use proptest::prelude::*;

use crate::oracle::{BASE64_TEXTS, CID_TEXTS, RAW_CID, record_json};

fn json(record: &[u8]) -> Result<String, RecordError> {
    let mut out = b"before".to_vec();
    let result = Encoder::new().record_to_json(record, &mut out);
    let json = String::from_utf8(out.split_off(6)).unwrap();
    assert_eq!(out, b"before");
    if result.is_err() {
        assert_eq!(json, "", "something was left behind");
    }
    result.map(|()| json)
}

fn kind(record: &[u8]) -> RecordErrorKind {
    json(record).unwrap_err().kind
}

/// Encodes what serde_json's `json!` gives, and leaves the special maps as maps.
fn cbor(value: &serde_json::Value) -> Vec<u8> {
    serde_ipld_dagcbor::to_vec(value).unwrap()
}

macro_rules! cbor {
    ($($json:tt)+) => {
        cbor(&serde_json::json!($($json)+))
    };
}

#[test]
fn keys_are_in_the_order_of_their_bytes() {
    let record = cbor!({"$type": "a.b.c", "b": 1, "a": 2, "aa": 3, "é": 4, "Z": 5, "": 6});
    assert_eq!(
        json(&record).unwrap(),
        r#"{"":6,"$type":"a.b.c","Z":5,"a":2,"aa":3,"b":1,"é":4}"#,
    );
}

#[test]
fn the_closing_quote_counts_as_part_of_a_key() {
    // A space and an exclamation mark sort before the quote; an escape is what it is written as.
    let record = cbor!({"a": 1, "a!": 2, "a ": 3, "a#": 4, "a\n": 5, "a]": 6, "a[": 7});
    assert_eq!(
        json(&record).unwrap(),
        r#"{"a ":3,"a!":2,"a":1,"a#":4,"a[":7,"a\n":5,"a]":6}"#,
    );
}

#[test]
fn long_keys_with_a_common_start_are_in_order() {
    let record = cbor!({"abcdefghij": 1, "abcdefghi": 2, "abcdefgh": 3, "abcdefghh": 4});
    assert_eq!(
        json(&record).unwrap(),
        r#"{"abcdefgh":3,"abcdefghh":4,"abcdefghi":2,"abcdefghij":1}"#,
    );
}

#[test]
fn maps_inside_maps_are_ordered_too() {
    let record = cbor!({"z": {"bb": [{"b": {}, "aa": 1}], "c": 2}, "yy": []});
    assert_eq!(
        json(&record).unwrap(),
        r#"{"yy":[],"z":{"bb":[{"aa":1,"b":{}}],"c":2}}"#,
    );
}

#[test]
fn integers_have_64_bits_and_a_sign() {
    let record = cbor!({"a": i64::MAX, "b": i64::MIN, "c": 0, "d": -1});
    assert_eq!(
        json(&record).unwrap(),
        r#"{"a":9223372036854775807,"b":-9223372036854775808,"c":0,"d":-1}"#,
    );
    assert_eq!(
        kind(b"\xa1\x61a\x1b\x80\0\0\0\0\0\0\0"),
        RecordErrorKind::IntegerRange
    );
    assert_eq!(
        kind(b"\xa1\x61a\x3b\x80\0\0\0\0\0\0\0"),
        RecordErrorKind::IntegerRange
    );
}

#[test]
fn a_float_without_a_fraction_is_an_integer_and_any_other_is_refused() {
    let float = |value: f64| [&b"\xa1\x61a\xfb"[..], &value.to_be_bytes()].concat();
    assert_eq!(json(&float(123.0)).unwrap(), r#"{"a":123}"#);
    assert_eq!(json(&float(-3.0)).unwrap(), r#"{"a":-3}"#);
    let least = -9_223_372_036_854_775_808.0;
    assert_eq!(
        json(&float(least)).unwrap(),
        r#"{"a":-9223372036854775808}"#
    );
    for wrong in [0.5, -123.456, 1e-300, -least, 1e300] {
        assert_eq!(kind(&float(wrong)), RecordErrorKind::Float, "{wrong}");
    }
}

#[test]
fn links_and_bytes_become_maps() {
    let mut writer = CborWriter::new();
    writer.map(3);
    writer.text("a").link(&RAW_CID.parse().unwrap());
    writer.text("b").bytes(&[]);
    writer.text("c").bytes(&[0xfb, 0xff, 0, 1]);
    assert_eq!(
        json(&writer.into_bytes()).unwrap(),
        format!(r#"{{"a":{{"$link":"{RAW_CID}"}},"b":{{"$bytes":""}},"c":{{"$bytes":"+/8AAQ"}}}}"#),
    );
}

#[test]
fn the_fields_of_a_blob_have_an_order_of_their_own() {
    let mut writer = CborWriter::new();
    writer.map(1).text("b").map(4);
    writer.text("ref").link(&RAW_CID.parse().unwrap());
    writer.text("size").unsigned(10);
    writer.text("$type").text("blob");
    writer.text("mimeType").text("image/<>");
    assert_eq!(
        json(&writer.into_bytes()).unwrap(),
        format!(
            r#"{{"b":{{"$type":"blob","ref":{{"$link":"{RAW_CID}"}},"mimeType":"image/\u003c\u003e","size":10}}}}"#
        ),
    );
}

#[test]
fn a_blob_may_name_its_content_in_a_link_map() {
    let link = serde_json::json!({"$link": RAW_CID});
    let record = cbor!({"b": {"$type": "blob", "ref": link, "mimeType": "", "size": 10.0}});
    assert_eq!(
        json(&record).unwrap(),
        format!(
            r#"{{"b":{{"$type":"blob","ref":{{"$link":"{RAW_CID}"}},"mimeType":"","size":10}}}}"#
        ),
    );
}

#[test]
fn a_blob_of_negative_size_has_the_old_form() {
    let link = serde_json::json!({"$link": RAW_CID});
    let record = cbor!({"b": {"$type": "blob", "ref": link, "mimeType": "a/b", "size": -1}});
    let old = format!(r#"{{"b":{{"cid":"{RAW_CID}","mimeType":"a/b"}}}}"#);
    assert_eq!(json(&record).unwrap(), old);
    let mut writer = CborWriter::new();
    writer.map(1).text("b").map(4);
    writer.text("ref").link(&RAW_CID.parse().unwrap());
    writer.text("size").integer(-7);
    writer.text("$type").text("blob");
    writer.text("mimeType").text("a/b");
    assert_eq!(json(&writer.into_bytes()).unwrap(), old);
}

#[test]
fn a_blob_with_anything_wrong_is_refused() {
    let link = serde_json::json!({"$link": RAW_CID});
    for blob in [
        serde_json::json!({"$type": "blob"}),
        serde_json::json!({"$type": "blob", "ref": link, "mimeType": "a/b"}),
        serde_json::json!({"$type": "blob", "ref": link, "mimeType": "a/b", "size": 1, "x": 1}),
        serde_json::json!({"$type": "blob", "ref": link, "mimeType": "a/b", "x": 1}),
        serde_json::json!({"$type": "blob", "ref": RAW_CID, "mimeType": "a/b", "size": 1}),
        serde_json::json!({"$type": "blob", "ref": link, "mimeType": 1, "size": 1}),
        serde_json::json!({"$type": "blob", "ref": link, "mimeType": "a/b", "size": "1"}),
    ] {
        assert_eq!(kind(&cbor!({"b": blob})), RecordErrorKind::Blob, "{blob}");
    }
}

#[test]
fn an_old_blob_is_a_map_of_two_fields() {
    for (text, canonical) in CID_TEXTS {
        let record = cbor!({"b": {"cid": text, "mimeType": "a/b"}});
        match canonical {
            Some(cid) => assert_eq!(
                json(&record).unwrap(),
                format!(r#"{{"b":{{"cid":"{cid}","mimeType":"a/b"}}}}"#),
            ),
            None => assert_eq!(kind(&record), RecordErrorKind::Blob, "{text}"),
        }
    }
    assert_eq!(
        kind(&cbor!({"b": {"cid": {"$link": RAW_CID}, "mimeType": ""}})),
        RecordErrorKind::Blob,
        "only the link of a new blob may be a map"
    );
    assert_eq!(
        kind(&cbor!({"b": {"cid": RAW_CID, "mimeType": 1}})),
        RecordErrorKind::Blob
    );
    // With one field more it is a map like any other.
    let record = cbor!({"b": {"cid": ".", "mimeType": 1, "a": 1}});
    assert_eq!(
        json(&record).unwrap(),
        r#"{"b":{"a":1,"cid":".","mimeType":1}}"#
    );
}

#[test]
fn a_link_map_has_one_field_and_a_cid() {
    for (text, canonical) in CID_TEXTS {
        let record = cbor!({"l": {"$link": text}});
        match canonical {
            Some(cid) => assert_eq!(
                json(&record).unwrap(),
                format!(r#"{{"l":{{"$link":"{cid}"}}}}"#)
            ),
            None => assert_eq!(kind(&record), RecordErrorKind::Link, "{text}"),
        }
    }
    for wrong in [
        cbor!({"l": {"$link": 1}}),
        cbor!({"l": {"$link": RAW_CID, "a": 1}}),
        cbor!({"l": {"$link": RAW_CID, "$type": "a"}}),
        cbor!({"l": {"$link": RAW_CID, "zzzzzzzzz": 1}}),
    ] {
        assert_eq!(kind(&wrong), RecordErrorKind::Link);
    }
}

#[test]
fn a_bytes_map_has_one_field_and_base64() {
    for (text, canonical) in BASE64_TEXTS {
        let record = cbor!({"l": {"$bytes": text}});
        match canonical {
            Some(digits) => assert_eq!(
                json(&record).unwrap(),
                format!(r#"{{"l":{{"$bytes":"{digits}"}}}}"#)
            ),
            None => assert_eq!(kind(&record), RecordErrorKind::Bytes, "{text}"),
        }
    }
    assert_eq!(kind(&cbor!({"l": {"$bytes": [1]}})), RecordErrorKind::Bytes);
    assert_eq!(
        kind(&cbor!({"l": {"$bytes": "", "a": 1}})),
        RecordErrorKind::Bytes
    );
}

#[test]
fn a_type_is_text_and_not_empty() {
    for wrong in [
        cbor!({"$type": ""}),
        cbor!({"$type": null}),
        cbor!({"a": {"$type": 1}}),
    ] {
        assert_eq!(kind(&wrong), RecordErrorKind::Type);
    }
    assert_eq!(json(&cbor!({"$other": 1})).unwrap(), r#"{"$other":1}"#);
}

#[test]
fn the_record_itself_is_a_plain_map() {
    let link = serde_json::json!({"$link": RAW_CID});
    for wrong in [
        cbor!([]),
        cbor!("text"),
        cbor!(link),
        cbor!({"$bytes": ""}),
        cbor!({"cid": RAW_CID, "mimeType": ""}),
        cbor!({"$type": "blob", "ref": link, "mimeType": "", "size": 1}),
    ] {
        assert_eq!(kind(&wrong), RecordErrorKind::NotAMap);
    }
    assert_eq!(json(&cbor!({})).unwrap(), "{}");
}

#[test]
fn malformed_records_say_where() {
    let error = json(b"\xa1\x61a\x18\x01").unwrap_err();
    assert_eq!(error.offset, 3);
    assert_eq!(error.kind, RecordErrorKind::Cbor(ErrorKind::Overlong));
    assert_eq!(error.reason(), "record_malformed");
    assert_eq!(
        error.to_string(),
        "record byte 3: a number in more bytes than it needs"
    );
    let trailing = json(b"\xa0\x00").unwrap_err();
    assert_eq!(
        (trailing.offset, trailing.kind),
        (1, RecordErrorKind::Cbor(ErrorKind::Trailing))
    );
    assert_eq!(kind(b""), RecordErrorKind::Cbor(ErrorKind::End));
    assert_eq!(
        kind(b"\xa1\x61a\x61\xff"),
        RecordErrorKind::Cbor(ErrorKind::Utf8)
    );
    assert_eq!(
        kind(b"\xa2\x61b\0\x61a\0"),
        RecordErrorKind::Cbor(ErrorKind::KeyOrder)
    );
    assert_eq!(
        kind(b"\xa2\x61a\0\x61a\0"),
        RecordErrorKind::Cbor(ErrorKind::DuplicateKey)
    );
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| {
        let mut record = b"\xa1\x61a".repeat(depth - 1);
        record.push(0xa0);
        record
    };
    assert!(json(&nested(MAX_DEPTH)).is_ok());
    let error = json(&nested(MAX_DEPTH + 1)).unwrap_err();
    assert_eq!(error.kind, RecordErrorKind::Cbor(ErrorKind::Depth));
    assert_eq!(error.reason(), "record_too_deep");
    assert!(json(&nested(300_000)).is_err());
}

#[test]
fn large_text_may_be_nested_but_not_deeply() {
    // Every map has its entries out of order, so that what is inside moves with each of them.
    let record = |depth: usize, length: usize| {
        let mut writer = CborWriter::new();
        (0..depth).for_each(|_| _ = writer.map(2).text("b"));
        writer.text(&"<".repeat(length));
        (0..depth).for_each(|_| _ = writer.text("aa").null());
        writer.into_bytes()
    };
    assert!(json(&record(100, 1_000)).is_ok());
    assert!(json(&record(6, 1_000_000)).is_ok());
    assert_eq!(kind(&record(100, 1_000_000)), RecordErrorKind::Nesting);
}

#[test]
fn sizes_are_bounded() {
    let text = |length: usize| {
        let mut writer = CborWriter::new();
        writer.map(1).text("a").text(&"x".repeat(length));
        writer.into_bytes()
    };
    let largest = text((1 << 20) - 8);
    assert_eq!(largest.len(), 1 << 20);
    assert!(json(&largest).is_ok());
    assert_eq!(kind(&text((1 << 20) - 7)), RecordErrorKind::Length);

    let array = |length: usize| {
        let mut writer = CborWriter::new();
        writer.map(1).text("a").array(length);
        let nulls = vec![0xf6; length];
        writer.raw(&nulls);
        writer.into_bytes()
    };
    assert!(json(&array(131_072)).is_ok());
    assert_eq!(kind(&array(131_073)), RecordErrorKind::EntryCount);

    let key = |length: usize| cbor!({"k".repeat(length): 1});
    assert!(json(&key(8192)).is_ok());
    assert_eq!(kind(&key(8193)), RecordErrorKind::KeyLength);
}

#[test]
fn an_encoder_is_none_the_worse_for_an_error() {
    let mut encoder = Encoder::new();
    let mut out = Vec::new();
    for _ in 0..3 {
        assert!(
            encoder
                .record_to_json(&cbor!({"bb": {"bb": 1, "a": {}}, "a": 0.5}), &mut out)
                .is_err()
        );
        assert!(
            encoder
                .record_to_json(&cbor!({"bb": {"bb": 1, "a": {}}, "c": 0.5}), &mut out)
                .is_err()
        );
        encoder
            .record_to_json(&cbor!({"bb": {"bb": 1, "c": {}}, "c": 1}), &mut out)
            .unwrap();
        assert_eq!(out, br#"{"bb":{"bb":1,"c":{}},"c":1}"#);
        out.clear();
    }
}

/// Keys that meet the rules, and keys that meet each other.
fn key() -> impl Strategy<Value = String> {
    let known = [
        "ref", "size", "mimeType", "cid", "a", "a ", "a!", "a\"", "a\\",
    ];
    let reserved = ["$type", "$link", "$bytes", "$other"];
    prop_oneof![
        60 => prop::sample::select(known.to_vec()).prop_map(str::to_owned),
        60 => "[a-c\u{1}<é\u{2028}]{0,12}",
        1 => prop::sample::select(reserved.to_vec()).prop_map(str::to_owned),
    ]
}

fn text() -> impl Strategy<Value = String> {
    let cids: Vec<&str> = CID_TEXTS.iter().map(|row| row.0).collect();
    let base64: Vec<&str> = BASE64_TEXTS.iter().map(|row| row.0).collect();
    prop_oneof![
        any::<String>(),
        "[ -~\u{2028}\u{2029}\n<>&]{0,40}",
        prop::sample::select(cids).prop_map(str::to_owned),
        prop::sample::select(base64).prop_map(str::to_owned),
        Just("blob".to_owned()),
    ]
}

fn link() -> impl Strategy<Value = Ipld> {
    let cids = CID_TEXTS[..3].iter().filter_map(|row| row.1);
    let links: Vec<Ipld> = cids.map(|cid| Ipld::Link(cid.parse().unwrap())).collect();
    prop::sample::select(links)
}

fn leaf() -> impl Strategy<Value = Ipld> {
    prop_oneof![
        4 => text().prop_map(Ipld::String),
        2 => any::<i64>().prop_map(|value| Ipld::Integer(value.into())),
        1 => (-5_i128..5).prop_map(Ipld::Integer),
        1 => (-1_000_i32..1_000).prop_map(|value| Ipld::Float(f64::from(value) + 0.0)),
        1 => any::<bool>().prop_map(Ipld::Bool),
        1 => Just(Ipld::Null),
        1 => prop::collection::vec(any::<u8>(), 0..40).prop_map(Ipld::Bytes),
        1 => link(),
    ]
}

/// Values that every encoder refuses, kept rare so that most records are accepted.
fn wrong() -> impl Strategy<Value = Ipld> {
    prop_oneof![
        Just(Ipld::Float(0.5)),
        Just(Ipld::Integer(i128::from(i64::MAX) + 1)),
        Just(Ipld::Integer(i128::from(i64::MIN) - 1)),
    ]
}

fn map_of(fields: impl IntoIterator<Item = (&'static str, Ipld)>) -> Ipld {
    let fields = fields.into_iter();
    Ipld::Map(fields.map(|(key, value)| (key.to_owned(), value)).collect())
}

/// Maps that are special, or nearly.
fn special() -> impl Strategy<Value = Ipld> {
    let types = prop_oneof![9 => Just("a.b.c".to_owned()).boxed(), 1 => text().boxed()];
    let one = |name, text: BoxedStrategy<String>| {
        text.prop_map(move |text| map_of([(name, Ipld::String(text))]))
            .boxed()
    };
    let link_map = || one("$link", mostly_valid(&CID_TEXTS));
    let blob_ref = prop_oneof![20 => link().boxed(), 10 => link_map(), 1 => leaf().boxed()];
    let blob = (blob_ref, text(), -2_i128..5).prop_map(|(link, mime_type, size)| {
        map_of([
            ("$type", Ipld::String("blob".to_owned())),
            ("ref", link),
            ("mimeType", Ipld::String(mime_type)),
            ("size", Ipld::Integer(size)),
        ])
    });
    let cid = prop_oneof![
        20 => mostly_valid(&CID_TEXTS).prop_map(Ipld::String).boxed(),
        10 => link().boxed(),
        1 => leaf().boxed(),
    ];
    let old = (cid, text())
        .prop_map(|(cid, mime_type)| map_of([("cid", cid), ("mimeType", Ipld::String(mime_type))]));
    prop_oneof![
        link_map(),
        one("$bytes", mostly_valid(&BASE64_TEXTS)),
        one("$type", types.boxed()),
        blob,
        old
    ]
}

fn mostly_valid(table: &[(&'static str, Option<&str>)]) -> BoxedStrategy<String> {
    let valid = table.iter().filter(|row| row.1.is_some());
    let valid: Vec<&str> = valid.map(|row| row.0).collect();
    let valid = prop::sample::select(valid).prop_map(str::to_owned);
    prop_oneof![20 => valid.boxed(), 1 => text().boxed()].boxed()
}

fn value() -> impl Strategy<Value = Ipld> {
    let leaf = prop_oneof![100 => leaf().boxed(), 20 => special().boxed(), 1 => wrong().boxed()];
    leaf.prop_recursive(5, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Ipld::List),
            prop::collection::btree_map(key(), inner, 0..8).prop_map(Ipld::Map),
        ]
    })
}

fn record() -> impl Strategy<Value = Ipld> {
    let map = prop::collection::btree_map(key(), value(), 0..8).prop_map(Ipld::Map);
    prop_oneof![20 => map.boxed(), 1 => value().boxed()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_record_is_written_as_the_oracle_writes_it(record in record()) {
        let cbor = serde_ipld_dagcbor::to_vec(&record).unwrap();
        prop_assert_eq!(json(&cbor).ok(), record_json(&record));
    }

    #[test]
    fn any_bytes_are_written_as_json_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(json) = json(&bytes) {
            serde_json::from_str::<serde_json::Value>(&json).unwrap();
        }
    }

    #[test]
    fn a_record_cut_short_is_refused(record in record(), cut in any::<prop::sample::Index>()) {
        let cbor = serde_ipld_dagcbor::to_vec(&record).unwrap();
        prop_assert!(json(&cbor[..cut.index(cbor.len())]).is_err());
    }
}
