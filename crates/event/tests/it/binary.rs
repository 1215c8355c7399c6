//! Binary events: recorded lines there and back, shapes by hand, hostile bytes.

use ipld_core::ipld::Ipld;
use jetwash_cbor::{CborWriter, Cid, Codec};
use jetwash_corpus::corpus;
use jetwash_event::{BinaryEncoder, BinaryError, BinaryEvent, Encoder, ParseBinaryError};
use proptest::prelude::*;

fn binary(line: &str) -> Result<Vec<u8>, BinaryError> {
    let mut out = b"before".to_vec();
    let result = BinaryEncoder::new().encode(line, &mut out);
    assert!(out.starts_with(b"before") && (result.is_ok() || out.len() == 6));
    result.map(|()| out.split_off(6))
}

fn line(binary: &[u8]) -> String {
    let event = BinaryEvent::parse(binary).unwrap();
    let mut line = Vec::new();
    let draft = event.draft();
    let written = Encoder::new().encode(&draft, event.time_us(), &mut line);
    written.unwrap();
    String::from_utf8(line).unwrap()
}

/// A commit's line around what differs.
fn commit(rest: &str) -> String {
    format!(
        r#"{{"did":"did:web:a.example","time_us":7,"kind":"commit","commit":{{"rev":"3l3qo2vutsw2b",{rest}}}}}"#
    )
}

#[test]
fn recorded_lines_come_back_to_the_byte_and_are_canonical() {
    let Some(corpus) = corpus("recorded lines as binary events") else {
        return;
    };
    let (mut count, mut lines_bytes, mut binary_bytes) = (0, 0, 0);
    for name in [
        "events/golden_v1.jsonl",
        "firehose-2026-07-04/expected_v1.jsonl",
        "events/events_v1_from_repos.jsonl.zst",
    ] {
        for recorded in corpus.lines(name) {
            let bytes = binary(&recorded).unwrap_or_else(|error| panic!("{error}: {recorded}"));
            assert_eq!(line(&bytes), recorded);
            let tree: Ipld = serde_ipld_dagcbor::from_slice(&bytes).unwrap();
            assert_eq!(serde_ipld_dagcbor::to_vec(&tree).unwrap(), bytes);
            count += 1;
            lines_bytes += recorded.len();
            binary_bytes += bytes.len();
        }
    }
    assert!(count > 12_000, "only {count} lines");
    assert!(
        binary_bytes * 100 < lines_bytes * 80,
        "{binary_bytes} of {lines_bytes} bytes"
    );
}

#[test]
fn a_record_goes_without_its_cid_because_that_is_its_hash() {
    let cid = Cid::of(Codec::DagCbor, b"\xa0");
    let rest = format!(
        r#""operation":"update","collection":"a.b.c","rkey":"k","record":{{}},"cid":"{cid}""#
    );
    let bytes = binary(&commit(&rest)).unwrap();
    let mut expected = CborWriter::new();
    expected.map(3).text("did").text("did:web:a.example");
    expected.text("time").unsigned(7).text("commit").map(5);
    expected.text("op").text("update").text("col").text("a.b.c");
    expected
        .text("rec")
        .map(0)
        .text("rev")
        .text("3l3qo2vutsw2b");
    expected.text("rkey").text("k");
    assert_eq!(bytes, expected.into_bytes());
    let event = BinaryEvent::parse(&bytes).unwrap();
    assert_eq!(event.cid(), Some(&cid));
    assert_eq!(event.record(), Some(&b"\xa0"[..]));
    assert_eq!(line(&bytes), commit(&rest));
}

#[test]
fn a_record_that_its_line_does_not_tell_in_full_keeps_its_cid() {
    // The repository has {"n": 1.0}; the line says 1.
    let cid = Cid::of(Codec::DagCbor, b"\xa1\x61n\xfb\x3f\xf0\0\0\0\0\0\0");
    let rest = format!(
        r#""operation":"create","collection":"a.b.c","rkey":"k","record":{{"n":1}},"cid":"{cid}""#
    );
    let bytes = binary(&commit(&rest)).unwrap();
    let event = BinaryEvent::parse(&bytes).unwrap();
    assert_eq!(event.cid(), Some(&cid));
    assert_eq!(event.record(), Some(&b"\xa1\x61n\x01"[..]));
    assert_eq!(line(&bytes), commit(&rest));
}

#[test]
fn a_changed_record_takes_the_cid_that_it_now_has() {
    let rest = |record: &str| {
        let cid = Cid::of(Codec::DagCbor, b"\xa0");
        format!(
            r#""operation":"create","collection":"a.b.c","rkey":"k","record":{record},"cid":"{cid}""#
        )
    };
    let mut changed = Vec::new();
    let line = commit(&rest(r#"{"n":1}"#));
    BinaryEncoder::new()
        .encode_changed(&line, &mut changed)
        .unwrap();
    let now = Cid::of(Codec::DagCbor, b"\xa1\x61n\x01");
    assert_eq!(BinaryEvent::parse(&changed).unwrap().cid(), Some(&now));
    assert!(changed.len() + Cid::LENGTH < binary(&line).unwrap().len());
}

#[test]
fn other_events_have_the_same_fields() {
    let deletion = commit(r#""operation":"delete","collection":"a.b.c","rkey":"k""#);
    let start = r#"{"did":"did:web:a.example","time_us":7,"kind":"#;
    for shape in [
        deletion,
        format!(
            r#"{start}"identity","identity":{{"did":"did:web:a.example","handle":"a.example","seq":8,"time":"2026-07-04T14:38:07Z"}}}}"#
        ),
        format!(
            r#"{start}"identity","identity":{{"did":"did:web:a.example","seq":8,"time":"2026-07-04T14:38:07Z"}}}}"#
        ),
        format!(
            r#"{start}"account","account":{{"active":false,"did":"did:web:a.example","seq":8,"status":"a \u003c b","time":"2026-07-04T14:38:07Z"}}}}"#
        ),
        format!(
            r#"{start}"account","account":{{"active":true,"did":"did:web:a.example","seq":8,"time":"2026-07-04T14:38:07Z"}}}}"#
        ),
        format!(
            r#"{start}"sync","sync":{{"blocks":{{"$bytes":"+/8AYg"}},"did":"did:web:a.example","rev":"3l3qo2vutsw2b","seq":8,"time":"2026-07-04T14:38:07Z"}}}}"#
        ),
    ] {
        let bytes = binary(&shape).unwrap();
        assert_eq!(line(&bytes), shape);
        let tree: Ipld = serde_ipld_dagcbor::from_slice(&bytes).unwrap();
        assert_eq!(serde_ipld_dagcbor::to_vec(&tree).unwrap(), bytes);
    }
}

#[test]
fn a_sync_has_its_blocks_as_bytes() {
    let shape = r#"{"did":"did:web:a.example","time_us":7,"kind":"sync","sync":{"blocks":{"$bytes":"+/8AYg"},"did":"did:web:a.example","rev":"3l3qo2vutsw2b","seq":8,"time":"t"}}"#;
    let mut expected = CborWriter::new();
    expected.map(3).text("did").text("did:web:a.example");
    expected.text("sync").map(4);
    expected.text("rev").text("3l3qo2vutsw2b");
    expected.text("seq").unsigned(8).text("time").text("t");
    expected.text("blocks").bytes(b"\xfb\xff\0b");
    expected.text("time").unsigned(7);
    assert_eq!(binary(shape).unwrap(), expected.into_bytes());
    let broken = shape.replace("+/8AYg", "?");
    assert!(matches!(binary(&broken), Err(BinaryError::Line(_))));
}

#[test]
fn a_draft_gives_the_same_bytes_as_its_line() {
    let cid = Cid::of(Codec::DagCbor, b"\xa0");
    let rest = format!(
        r#""operation":"create","collection":"a.b.c","rkey":"k","record":{{}},"cid":"{cid}""#
    );
    let expected = binary(&commit(&rest)).unwrap();
    let event = BinaryEvent::parse(&expected).unwrap();
    let mut out = Vec::new();
    BinaryEncoder::new().encode_draft(&event.draft(), event.time_us(), &mut out);
    assert_eq!(out, expected);
}

#[test]
fn what_is_no_event_is_refused() {
    for (line, part) in [
        ("[]".to_owned(), "not the line of an event"),
        (
            r#"{"did":"d","time_us":7,"kind":"commit"}"#.to_owned(),
            "no `commit`",
        ),
        (
            commit(r#""operation":"create","collection":"a","rkey":"k","record":{}"#),
            "belong together",
        ),
        (
            commit(r#""operation":"create","collection":"a","rkey":"k","record":{},"cid":"x""#),
            "CID",
        ),
        (
            commit(
                r#""operation":"create","collection":"a","rkey":"k","record":{"$link":1},"cid":"bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua""#,
            ),
            "link",
        ),
    ] {
        let error = binary(&line).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }

    let mut two = CborWriter::new();
    two.map(2).text("commit").map(1).text("op").text("delete");
    two.text("account").map(0);
    assert_eq!(
        BinaryEvent::parse(&two.into_bytes()),
        Err(ParseBinaryError::Body)
    );
    let mut unknown = CborWriter::new();
    unknown
        .map(1)
        .text("commit")
        .map(1)
        .text("op")
        .text("merge");
    assert_eq!(
        BinaryEvent::parse(&unknown.into_bytes()),
        Err(ParseBinaryError::Operation)
    );
    let mut orphan = CborWriter::new();
    orphan
        .map(1)
        .text("commit")
        .map(2)
        .text("op")
        .text("delete");
    orphan.text("cid").link(&Cid::of(Codec::DagCbor, b"\xa0"));
    let error = BinaryEvent::parse(&orphan.into_bytes()).unwrap_err();
    assert_eq!(error, ParseBinaryError::Missing("rec"));
    assert_eq!(
        BinaryEvent::parse(b"\xa0"),
        Err(ParseBinaryError::Missing("time"))
    );
    assert!(BinaryEvent::parse(b"\xa0\xa0").is_err());
}

proptest! {
    #[test]
    fn damaged_events_do_no_harm(at in 0_usize..200, byte in any::<u8>(), cut in 0_usize..200) {
        let cid = Cid::of(Codec::DagCbor, b"\xa0");
        let rest = format!(
            r#""operation":"create","collection":"a.b.c","rkey":"k","record":{{}},"cid":"{cid}""#
        );
        let mut bytes = binary(&commit(&rest)).unwrap();
        let at = at % bytes.len();
        bytes[at] = byte;
        bytes.truncate(cut.max(at + 1));
        if let Ok(event) = BinaryEvent::parse(&bytes) {
            let _ = Encoder::new().encode(&event.draft(), event.time_us(), &mut Vec::new());
            let mut again = Vec::new();
            BinaryEncoder::new().encode_draft(&event.draft(), event.time_us(), &mut again);
            prop_assert_eq!(BinaryEvent::parse(&again).unwrap(), event);
        }
    }
}
