//! Messages of version 2, expected by hand, by what the official server sent, and by an independent
//! writer that knows only the record.

use std::collections::{BTreeMap, HashMap};

use ipld_core::ipld::Ipld;
use jetwash_corpus::corpus;
use jetwash_event::{Encoder, V2Encoder, write_with_cursor};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

const TYPE: &str = "network.bsky.jetstream.subscribeEvents";
const CID: &str = "bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a";
const TIME: &str = "2024-09-09T19:46:02.329308Z";

fn v2(line: &str, seq: u64) -> String {
    let mut out = b"before ".to_vec();
    let written = V2Encoder::new().encode(line.as_bytes(), seq, &mut out);
    written.unwrap_or_else(|error| panic!("{error}: {line}"));
    String::from_utf8(out.split_off(7)).unwrap()
}

/// The record of a message, whose line has it as `record`.
fn record_of(record: &str) -> String {
    let line = format!(
        r#"{{"did":"did:web:a.example","time_us":1725911162329308,"kind":"commit","commit":{{"rev":"3l","operation":"create","collection":"a.b.c","rkey":"r","record":{record},"cid":"{CID}"}}}}"#
    );
    let message = v2(&line, 7);
    let head = format!(
        r#"{{"$type":"message","payload":{{"$type":"{TYPE}#commit","cid":"{CID}","collection":"a.b.c","did":"did:web:a.example","operation":"create","record":"#
    );
    let end = format!(r#","rev":"3l","rkey":"r","seq":7,"time":"{TIME}"}}}}"#);
    let record = message.strip_prefix(&head).expect(&message);
    record.strip_suffix(&end).expect(&message).to_owned()
}

#[test]
fn the_fields_are_in_the_order_of_the_alphabet() {
    let line = |rest: &str| {
        format!(r#"{{"did":"did:web:a.example","time_us":1725911162329308,"kind":{rest}}}"#)
    };
    let message = |kind: &str, rest: &str| {
        format!(
            r##"{{"$type":"message","payload":{{"$type":"{TYPE}#{kind}",{rest},"time":"{TIME}"}}}}"##
        )
    };
    let rows = [
        (
            r#""commit","commit":{"rev":"3l","operation":"delete","collection":"a.b.c","rkey":"r"}"#,
            "commit",
            r#""collection":"a.b.c","did":"did:web:a.example","operation":"delete","rev":"3l","rkey":"r","seq":42"#,
        ),
        // Version 1 leaves out what is empty.
        (
            r#""commit","commit":{"operation":"delete"}"#,
            "commit",
            r#""collection":"","did":"did:web:a.example","operation":"delete","rev":"","rkey":"","seq":42"#,
        ),
        (
            r#""identity","identity":{"did":"did:web:a.example","handle":"a.example","seq":9,"time":"2024"}"#,
            "identity",
            r#""did":"did:web:a.example","identity":{"did":"did:web:a.example","handle":"a.example","seq":9,"time":"2024"},"seq":42"#,
        ),
        (
            r#""account","account":{"active":false,"did":"did:web:a.example","seq":9,"status":"<\u0008\u2028\\u2028>","time":"2024"}"#,
            "account",
            "\"account\":{\"active\":false,\"did\":\"did:web:a.example\",\"seq\":9,\"status\":\"<\\b\u{2028}\\\\u2028>\",\"time\":\"2024\"},\"did\":\"did:web:a.example\",\"seq\":42",
        ),
        (
            r#""sync","sync":{"blocks":{"$bytes":"AQ"},"did":"did:web:a.example","rev":"3l","seq":9,"time":"2024"}"#,
            "sync",
            r#""did":"did:web:a.example","seq":42,"sync":{"blocks":{"$bytes":"AQ"},"did":"did:web:a.example","rev":"3l","seq":9,"time":"2024"}"#,
        ),
    ];
    for (rest, kind, expected) in rows {
        assert_eq!(v2(&line(rest), 42), message(kind, expected));
    }
}

/// Each row is worked out from Go's `encoding/json` on both sides: the escaped text with its quote
/// is the order of version 1, the plain text that of version 2.
#[test]
fn a_record_differs_where_the_two_versions_do_and_nowhere_else() {
    let same = [
        r"{}",
        r#"{"a":1,"b":[],"c":{}}"#,
        r#"{"text":"a \"$type\":\"blob\" and \\u0008 and \u003c\u2028 ok:"}"#,
        r#"{"cid":"bafy","mimeType":"image/png"}"#,
        r#"{"$type":"blobs","mimeType":2,"ref":1}"#,
        r#"{"a":{"$link":"bafy"},"b":{"$bytes":"AQI"},"c":null,"d":true,"e":-1}"#,
    ];
    for record in same {
        assert_eq!(record_of(record), record);
    }
    let rows = [
        (
            r#"{"embed":{"$type":"blob","ref":{"$link":"bafy"},"mimeType":"a","size":1},"x":[{"$type":"blob","ref":{"$link":"b"},"mimeType":"c","size":0}]}"#,
            r#"{"embed":{"$type":"blob","mimeType":"a","ref":{"$link":"bafy"},"size":1},"x":[{"$type":"blob","mimeType":"c","ref":{"$link":"b"},"size":0}]}"#,
        ),
        (
            r#"{"a\u0008":"\u0008 \u000c \u000b \\u0008"}"#,
            r#"{"a\b":"\b \f \u000b \\u0008"}"#,
        ),
        (r#"{"a b":1,"a!":2,"a":3}"#, r#"{"a":3,"a b":1,"a!":2}"#),
        // As they are: ` ` 20, `!` 21, `"` 22, `&` 26, `<` 3c, `A`. Escaped all but the first two
        // and the last begin with a backslash, which is behind `A`.
        (
            r#"{" ":1,"!":2,"A":6,"\"":3,"\u0026":4,"\u003c":5}"#,
            r#"{" ":1,"!":2,"\"":3,"\u0026":4,"\u003c":5,"A":6}"#,
        ),
        (
            r#"{"\n":1,"\u0001":2,"\u2028":4,"é":3}"#,
            r#"{"\u0001":2,"\n":1,"é":3,"\u2028":4}"#,
        ),
        (
            r#"{"o":[{"a b":{"c d":1,"c":2},"a":3},4]}"#,
            r#"{"o":[{"a":3,"a b":{"c":2,"c d":1}},4]}"#,
        ),
    ];
    for (record, expected) in rows {
        assert_eq!(record_of(record), expected);
    }
}

#[test]
fn a_line_of_another_shape_is_refused_and_nothing_written() {
    let commit = |rest: &str| {
        format!(r#"{{"did":"a","time_us":1,"kind":"commit","commit":{{"operation":"create"{rest}"#)
    };
    let deep = format!(r#","record":{{"a b":{}"#, "[".repeat(10_000));
    for wrong in [
        String::new(),
        "{}".to_owned(),
        r#"{"did":"a","time_us":1,"kind":"other","other":{}}"#.to_owned(),
        r#"{"did":"a","time_us":1,"kind":"identity","account":{}}"#.to_owned(),
        r#"{"did":"a","time_us":1,"kind":"identity","identity":{}"#.to_owned(),
        r#"{"did":"a","time_us":18446744073709551616,"kind":"identity","identity":{}}"#.to_owned(),
        commit("}"),
        commit(r#","more":1}}"#),
        commit(r#","record":{}}}"#),
        commit(r#","record":{},"cid":1}}"#),
        commit(r#","record":{"a b":,"cid":"b"}}"#),
        commit(r#","record":{"a b":1]},"cid":"b"}}"#),
        commit(r#","record":{"a b":1,"c",1},"cid":"b"}}"#),
        commit(r#","record":{"a b":"\"},"cid":"b"}}"#),
        commit(r#","record":{"a b":1}{},"cid":"b"}}"#),
        commit(&format!(r#"{deep},"cid":"b"}}}}"#)),
    ] {
        let mut out = b"before".to_vec();
        let written = V2Encoder::new().encode(wrong.as_bytes(), 1, &mut out);
        assert!(written.is_err(), "{wrong}");
        assert_eq!(out, b"before");
    }
}

#[test]
fn the_cursor_stands_before_the_kind_and_all_else_is_left() {
    let line = r#"{"did":"did:web:a.example","time_us":12,"kind":"commit","commit":{"record":{"time_us":1,"kind":2}}}"#;
    let mut out = Vec::new();
    write_with_cursor(line.as_bytes(), u64::MAX, &mut out).unwrap();
    let expected = line.replacen(r#""kind""#, r#""cursor":18446744073709551615,"kind""#, 1);
    assert_eq!(String::from_utf8(out).unwrap(), expected);
    for wrong in [
        "",
        r#"{"did":"a"}"#,
        r#"{"did":"a","time_us":1,"type":"com"}"#,
    ] {
        let mut out = Vec::new();
        assert!(write_with_cursor(wrong.as_bytes(), 1, &mut out).is_err());
        assert!(out.is_empty());
    }
}

/// Both servers were given the same frames. They agree on the order within an account.
#[test]
fn production_lines_give_the_messages_of_the_official_server() {
    let Some(corpus) = corpus("lines of version 1 as messages of version 2") else {
        return;
    };
    let mut lines: HashMap<String, Vec<String>> = HashMap::new();
    for line in corpus.lines("firehose-2026-07-04/expected_v1.jsonl") {
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        let did = value["did"].as_str().unwrap().to_owned();
        lines.entry(did).or_default().push(line);
    }
    let mut count = 0;
    for expected in corpus.lines("firehose-2026-07-04/expected_v2.jsonl") {
        let value: serde_json::Value = serde_json::from_str(&expected).unwrap();
        let payload = &value["payload"];
        let line = lines
            .get_mut(payload["did"].as_str().unwrap())
            .unwrap()
            .remove(0);
        let message = v2(&line, payload["seq"].as_u64().unwrap());
        // The two servers saw the frames at different times.
        let time = |message: &str| {
            let at = message.rfind(r#""time":""#).unwrap();
            (message[..at].to_owned(), message[at..].len())
        };
        assert_eq!(time(&message), time(&expected));
        count += 1;
    }
    assert_eq!(count, 102);
    assert!(lines.values().all(Vec::is_empty));
}

/// Text as Go writes it in a record of version 2.
fn string_json(text: &str) -> String {
    let mut json = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\u{8}' => json.push_str("\\b"),
            '\u{c}' => json.push_str("\\f"),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            '\t' => json.push_str("\\t"),
            '\0'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                json.push_str(&format!("\\u{:04x}", u32::from(character)));
            }
            _ => json.push(character),
        }
    }
    json + "\""
}

fn value_json(value: &Ipld) -> String {
    match value {
        Ipld::Null => "null".to_owned(),
        Ipld::Bool(value) => value.to_string(),
        Ipld::Integer(value) => value.to_string(),
        Ipld::String(text) => string_json(text),
        Ipld::Link(cid) => format!(r#"{{"$link":"{cid}"}}"#),
        Ipld::List(items) => {
            let items: Vec<_> = items.iter().map(value_json).collect();
            format!("[{}]", items.join(","))
        }
        // The tree has its keys in the order of their bytes.
        Ipld::Map(map) => {
            let entry = |(key, value): (&String, &Ipld)| {
                format!("{}:{}", string_json(key), value_json(value))
            };
            let entries: Vec<_> = map.iter().map(entry).collect();
            format!("{{{}}}", entries.join(","))
        }
        other => panic!("not made here: {other:?}"),
    }
}

fn blob() -> impl Strategy<Value = Ipld> {
    (text(), any::<u32>()).prop_map(|(mime_type, size)| {
        Ipld::Map(BTreeMap::from([
            ("$type".to_owned(), Ipld::String("blob".to_owned())),
            ("ref".to_owned(), Ipld::Link(CID.parse().unwrap())),
            ("mimeType".to_owned(), Ipld::String(mime_type)),
            ("size".to_owned(), Ipld::Integer(size.into())),
        ]))
    })
}

fn text() -> impl Strategy<Value = String> {
    let odd = "[a-c \"!\\\\<&:{}\\[\\],\u{8}\u{c}\n\u{1}\u{2028}é$]{0,6}";
    prop_oneof![odd, "[a-z]{1,4}"]
}

fn value() -> impl Strategy<Value = Ipld> {
    let leaf = prop_oneof![
        Just(Ipld::Null),
        any::<bool>().prop_map(Ipld::Bool),
        any::<i64>().prop_map(|number| Ipld::Integer(number.into())),
        text().prop_map(Ipld::String),
        blob(),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Ipld::List),
            map(inner).prop_map(Ipld::Map),
        ]
    })
}

fn map(value: impl Strategy<Value = Ipld>) -> impl Strategy<Value = BTreeMap<String, Ipld>> {
    btree_map(text(), value, 0..6)
}

proptest! {
    #[test]
    fn any_record_is_as_an_independent_writer_has_it(map in map(value())) {
        let record = Ipld::Map(map);
        let bytes = serde_ipld_dagcbor::to_vec(&record).unwrap();
        let mut line = Vec::new();
        Encoder::new().record_to_json(&bytes, &mut line).unwrap();
        prop_assert_eq!(record_of(str::from_utf8(&line).unwrap()), value_json(&record));
    }

    #[test]
    fn no_bytes_make_it_panic_or_write_in_part(
        head in "(\\{\"did\":\"a\",\"time_us\":1,\"kind\":\"commit\",\"commit\":\\{\"operation\":\"create\",\"record\":)?",
        middle in "[\\{\\}\\[\\]\":, \\\\a1u0]{0,40}",
        end in "(,\"cid\":\"b\"\\}\\})?",
    ) {
        let line = format!("{head}{middle}{end}");
        let mut out = Vec::new();
        let written = V2Encoder::new().encode(line.as_bytes(), 1, &mut out);
        prop_assert_eq!(written.is_err(), out.is_empty());
    }
}
