//! Nesting that nobody meant well, in both directions: refused at a bound, and within the stack of
//! a small thread.

use jetwash_cbor::{Cid, Codec, MAX_DEPTH};
use jetwash_event::{
    BinaryEncoder, BinaryEvent, Draft, DraftBody, Encoder, Facts, Micros, Operation, ParsedEvent,
    ToCbor, record_cbor, write_v0,
};

/// Every way to put an item of DAG-CBOR into another: the bytes that come before it.
const CBOR_WAYS: [&[&[u8]]; 7] = [
    &[b"\x81"],
    &[b"\xa1\x61a"],
    &[b"\xd8\x2a"],
    &[b"\xc1"],
    &[b"\x81", b"\xa1\x61a"],
    &[b"\xa1\x61a", b"\xd8\x2a"],
    &[b"\xa1\x61a", b"\x81", b"\xd8\x2a"],
];

/// Every way to put a value of JSON into another: what comes before it and after it.
const JSON_WAYS: [&[(&str, &str)]; 6] = [
    &[("[", "]")],
    &[(r#"{"a":"#, "}")],
    &[(r#"{"$link":"#, "}")],
    &[(r#"{"$bytes":"#, "}")],
    &[(r#"{"a":"#, "}"), ("[", "]")],
    &[
        (r#"{"a":1,"b":"#, "}"),
        ("[0,", ",1]"),
        (r#"{"$type":"#, "}"),
    ],
];

#[test]
fn a_record_of_deep_cbor_is_refused_on_a_small_stack() {
    on_small_stack(|| {
        let (mut encoder, mut out) = (Encoder::new(), Vec::new());
        for way in CBOR_WAYS {
            for levels in [MAX_DEPTH + 1, 20_000, 500_000] {
                let value = cbor(way, levels);
                for before in [&b""[..], b"\xa1\x61x", b"\xa1\x65$link", b"\xa1\x65$type"] {
                    let record = [before, &value].concat();
                    assert!(encoder.record_to_json(&record, &mut out).is_err());
                    assert!(
                        encoder
                            .encode(&draft(&record), Micros::new(7), &mut out)
                            .is_err()
                    );
                }
            }
        }
    });
}

#[test]
fn the_deepest_record_that_is_allowed_goes_both_ways_on_a_small_stack() {
    on_small_stack(|| {
        // Entries out of the order of JSON, so that each level is moved as well.
        let moved: &[u8] = b"\xa2\x61b\x00\x62aa";
        for way in [&[&b"\xa1\x61a"[..]][..], &[b"\xa1\x61a", b"\x81"], &[moved]] {
            let record = cbor(way, MAX_DEPTH);
            let mut json = Vec::new();
            Encoder::new().record_to_json(&record, &mut json).unwrap();
            let json = String::from_utf8(json).unwrap();
            let cid = Cid::of(Codec::DagCbor, &record);
            assert_eq!(record_cbor(&json, &cid).unwrap(), record);
            let _ = Facts::of(&json);

            let mut line = Vec::new();
            Encoder::new()
                .encode(&draft(&record), Micros::new(7), &mut line)
                .unwrap();
            let event: ParsedEvent = serde_json::from_slice(&line).unwrap();
            assert_eq!(serde_json::to_vec(&event).unwrap(), line);
            let line = String::from_utf8(line).unwrap();
            let mut binary = Vec::new();
            BinaryEncoder::new().encode(&line, &mut binary).unwrap();
            assert_eq!(
                BinaryEvent::parse(&binary).unwrap().record(),
                Some(&record[..])
            );
        }
    });
}

#[test]
fn json_that_is_too_deep_is_refused_on_a_small_stack() {
    on_small_stack(|| {
        for way in JSON_WAYS {
            for levels in [MAX_DEPTH + 1, 20_000, 500_000] {
                let json = json(way, levels);
                let mut out = b"before".to_vec();
                assert!(ToCbor::new().encode(&json, &mut out).is_err());
                // Cut short, it is no JSON either.
                assert!(
                    ToCbor::new()
                        .encode(&json[..json.len() / 2], &mut out)
                        .is_err()
                );
                assert_eq!(out, b"before");
            }
        }
    });
}

#[test]
fn a_line_with_deep_json_is_no_danger_on_a_small_stack() {
    on_small_stack(|| {
        for way in JSON_WAYS {
            for levels in [MAX_DEPTH + 1, 500_000] {
                let deep = json(way, levels);
                let _ = Facts::of(&deep);
                for field in ["text", "langs", "facets", "embed", "subject", "reply"] {
                    let _ = Facts::of(&format!(r#"{{"{field}":{deep}}}"#));
                }
                let commit = format!(
                    r#""rev":"3l3qo2vutsw2b","operation":"create","collection":"com.example.note","rkey":"1","record":{deep},"cid":"bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a""#
                );
                let head = r#"{"did":"did:web:a.example","time_us":7,"kind":"commit","#;
                let line = format!(r#"{head}"commit":{{{commit}}}}}"#);
                let _ = serde_json::from_str::<ParsedEvent>(&line);
                let _ = write_v0(line.as_bytes(), &mut Vec::new());
                assert!(BinaryEncoder::new().encode(&line, &mut Vec::new()).is_err());
                for line in [
                    format!(r#"{head}"x":{deep},"commit":{{{commit}}}}}"#),
                    format!(r#"{head}"commit":{deep}}}"#),
                    deep,
                ] {
                    let _ = serde_json::from_str::<ParsedEvent>(&line);
                    let _ = BinaryEncoder::new().encode(&line, &mut Vec::new());
                }
            }
        }
    });
}

#[test]
fn a_binary_event_with_deep_cbor_is_refused_on_a_small_stack() {
    on_small_stack(|| {
        for way in CBOR_WAYS {
            for levels in [MAX_DEPTH + 1, 500_000] {
                let value = cbor(way, levels);
                for before in [
                    &b""[..],
                    b"\xa1\x61x",
                    b"\xa1\x63did",
                    b"\xa1\x66commit\xa1\x63rec",
                    b"\xa1\x66commit\xa1\x63cid",
                    b"\xa1\x67account\xa1\x61x",
                    b"\xa1\x68identity\xa1\x61x",
                ] {
                    assert!(BinaryEvent::parse(&[before, &value].concat()).is_err());
                }
            }
        }
    });
}

fn draft(record: &[u8]) -> Draft<'_> {
    let cid: &Cid = Box::leak(Box::new(Cid::of(Codec::DagCbor, record)));
    Draft {
        did: "did:web:a.example",
        body: DraftBody::Commit {
            rev: "3l3qo2vutsw2b",
            operation: Operation::Create,
            collection: "com.example.note",
            rkey: "1",
            record: Some((record, cid)),
        },
    }
}

fn cbor(way: &[&[u8]], levels: usize) -> Vec<u8> {
    let levels = (0..levels).flat_map(|level| way[level % way.len()]);
    levels.copied().chain([0]).collect()
}

fn json(way: &[(&str, &str)], levels: usize) -> String {
    let before = (0..levels).map(|level| way[level % way.len()].0);
    let after = (0..levels).rev().map(|level| way[level % way.len()].1);
    before.chain(["1"]).chain(after).collect()
}

/// Runs on a thread with the stack that small systems give: 512 KB.
fn on_small_stack(check: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(512 << 10);
    thread.spawn(check).unwrap().join().unwrap();
}
