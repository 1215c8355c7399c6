//! Whole lines, by hand and against those that production sent for real frames.

use std::collections::HashMap;

use ipld_core::ipld::Ipld;
use jetwash_cbor::{CborReader, CborWriter, Cid, Link, read_varint};
use jetwash_corpus::corpus;
use jetwash_event::{Draft, DraftBody, Encoder, Micros, Operation};

const DID: &str = "did:web:a.example";
const CID: &str = "bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a";

fn line(body: DraftBody<'_>) -> String {
    let mut out = b"before".to_vec();
    let draft = Draft { did: DID, body };
    Encoder::new()
        .encode(&draft, Micros::new(7), &mut out)
        .unwrap();
    String::from_utf8(out.split_off(6)).unwrap()
}

#[test]
fn a_commit_has_its_fields_in_order() {
    let cid: Cid = CID.parse().unwrap();
    let body = DraftBody::Commit {
        rev: "3l3qo2vutsw2b",
        operation: Operation::Update,
        collection: "app.bsky.feed.post",
        rkey: "self",
        record: Some((b"\xa1\x61a\x01", &cid)),
    };
    assert_eq!(
        line(body),
        format!(
            r#"{{"did":"{DID}","time_us":7,"kind":"commit","commit":{{"rev":"3l3qo2vutsw2b","operation":"update","collection":"app.bsky.feed.post","rkey":"self","record":{{"a":1}},"cid":"{CID}"}}}}"#
        ),
    );
}

#[test]
fn empty_fields_of_a_commit_are_left_out() {
    let body = DraftBody::Commit {
        rev: "",
        operation: Operation::Delete,
        collection: "",
        rkey: "",
        record: None,
    };
    assert_eq!(
        line(body),
        format!(
            r#"{{"did":"{DID}","time_us":7,"kind":"commit","commit":{{"operation":"delete"}}}}"#
        ),
    );
}

#[test]
fn an_identity_has_its_fields_in_order() {
    let identity = |handle| DraftBody::Identity {
        handle,
        seq: u64::MAX,
        time: "2026-07-04T14:38:07Z",
    };
    let start =
        format!(r#"{{"did":"{DID}","time_us":7,"kind":"identity","identity":{{"did":"{DID}","#);
    let end = r#""seq":18446744073709551615,"time":"2026-07-04T14:38:07Z"}}"#;
    assert_eq!(line(identity(None)), format!("{start}{end}"));
    assert_eq!(
        line(identity(Some("a.example"))),
        format!(r#"{start}"handle":"a.example",{end}"#)
    );
    // Only an absent one is left out.
    assert_eq!(
        line(identity(Some(""))),
        format!(r#"{start}"handle":"",{end}"#)
    );
}

#[test]
fn an_account_has_its_fields_in_order() {
    let account = |active, status| DraftBody::Account {
        active,
        seq: 5,
        status,
        time: "2026-07-04T14:38:07Z",
    };
    let start = format!(r#"{{"did":"{DID}","time_us":7,"kind":"account","account":{{"active":"#);
    let end = r#""time":"2026-07-04T14:38:07Z"}}"#;
    assert_eq!(
        line(account(true, None)),
        format!(r#"{start}true,"did":"{DID}","seq":5,{end}"#)
    );
    assert_eq!(
        line(account(false, Some("deleted"))),
        format!(r#"{start}false,"did":"{DID}","seq":5,"status":"deleted",{end}"#)
    );
}

#[test]
fn a_sync_has_its_fields_in_order_and_its_blocks_without_padding() {
    let sync = |blocks| DraftBody::Sync {
        blocks,
        rev: "3l3qo2vutsw2b",
        seq: 5,
        time: "2026-07-04T14:38:07Z",
    };
    let start =
        format!(r#"{{"did":"{DID}","time_us":7,"kind":"sync","sync":{{"blocks":{{"$bytes":"#);
    let end = format!(
        r#"}},"did":"{DID}","rev":"3l3qo2vutsw2b","seq":5,"time":"2026-07-04T14:38:07Z"}}}}"#
    );
    assert_eq!(line(sync(b"")), format!(r#"{start}""{end}"#));
    assert_eq!(line(sync(b"f")), format!(r#"{start}"Zg"{end}"#));
    assert_eq!(
        line(sync(b"\xfb\xff\0b")),
        format!(r#"{start}"+/8AYg"{end}"#)
    );
    let body = sync(b"");
    assert_eq!(Draft { did: DID, body }.kind().as_str(), "sync");
}

#[test]
fn a_record_that_is_refused_leaves_no_trace() {
    let cid: Cid = CID.parse().unwrap();
    let draft = Draft {
        did: DID,
        body: DraftBody::Commit {
            rev: "3l3qo2vutsw2b",
            operation: Operation::Create,
            collection: "app.bsky.feed.post",
            rkey: "self",
            record: Some((b"\xa1\x61a\xff", &cid)),
        },
    };
    let mut out = b"before".to_vec();
    let error = Encoder::new()
        .encode(&draft, Micros::new(7), &mut out)
        .unwrap_err();
    assert_eq!(error.offset, 3);
    assert_eq!(out, b"before");
}

#[test]
fn a_draft_tells_its_kind_and_collection() {
    let body = DraftBody::Commit {
        rev: "",
        operation: Operation::Delete,
        collection: "a.b.c",
        rkey: "",
        record: None,
    };
    let draft = Draft { did: DID, body };
    assert_eq!(draft.kind().as_str(), "commit");
    assert_eq!(draft.collection(), Some("a.b.c"));
}

#[test]
fn real_frames_give_the_lines_that_production_sent() {
    let Some(corpus) = corpus("lines of real frames") else {
        return;
    };
    let mut expected = corpus.lines("firehose-2026-07-04/expected_v1.jsonl");
    expected.iter_mut().for_each(mask_time);
    expected.sort_unstable();
    let mut lines = Vec::new();
    let mut encoder = Encoder::new();
    for frame in corpus.frames("firehose-2026-07-04/frames.bin.zst") {
        write_lines(&mut encoder, &frame, &mut lines);
    }
    lines.sort_unstable();
    assert_eq!(lines.len(), 102);
    assert_eq!(lines, expected);
}

fn mask_time(line: &mut String) {
    let (start, rest) = line.split_once(r#""time_us":"#).unwrap();
    let (_, end) = rest.split_once(',').unwrap();
    *line = format!(r#"{start}"time_us":0,{end}"#);
}

/// The least that makes drafts of a frame: no checks, and everything by way of a tree.
fn write_lines(encoder: &mut Encoder, frame: &[u8], lines: &mut Vec<String>) {
    let mut header = CborReader::new(frame);
    header.skip().unwrap();
    let kind = String::from_utf8_lossy(header.since(0)).into_owned();
    let payload: Ipld = serde_ipld_dagcbor::from_slice(&frame[header.position()..]).unwrap();
    if kind.contains("#commit") {
        let Ipld::Bytes(car) = payload.get("blocks").unwrap().unwrap() else {
            panic!("blocks");
        };
        let blocks = car_blocks(car);
        let Ipld::List(ops) = payload.get("ops").unwrap().unwrap() else {
            panic!("ops");
        };
        for op in ops {
            let (collection, rkey) = text(op, "path").unwrap().split_once('/').unwrap();
            let cid = match op.get("cid").unwrap() {
                Some(Ipld::Link(cid)) => Some(Cid::from_bytes(&cid.to_bytes()).unwrap()),
                _ => None,
            };
            let body = DraftBody::Commit {
                rev: text(&payload, "rev").unwrap(),
                operation: match text(op, "action").unwrap() {
                    "create" => Operation::Create,
                    "update" => Operation::Update,
                    "delete" => Operation::Delete,
                    other => panic!("{other}"),
                },
                collection,
                rkey,
                record: cid.as_ref().map(|cid| (blocks[cid], cid)),
            };
            lines.push(masked_line(encoder, text(&payload, "repo").unwrap(), body));
        }
        return;
    }
    let seq = match payload.get("seq").unwrap() {
        Some(Ipld::Integer(seq)) => u64::try_from(*seq).unwrap(),
        other => panic!("{other:?}"),
    };
    let time = text(&payload, "time").unwrap();
    let body = if kind.contains("#identity") {
        let handle = text(&payload, "handle");
        DraftBody::Identity { handle, seq, time }
    } else if kind.contains("#account") {
        let Some(Ipld::Bool(active)) = payload.get("active").unwrap() else {
            panic!("active");
        };
        DraftBody::Account {
            active: *active,
            seq,
            status: text(&payload, "status"),
            time,
        }
    } else {
        return;
    };
    lines.push(masked_line(encoder, text(&payload, "did").unwrap(), body));
}

fn masked_line(encoder: &mut Encoder, did: &str, body: DraftBody<'_>) -> String {
    let mut out = Vec::new();
    encoder
        .encode(&Draft { did, body }, Micros::EPOCH, &mut out)
        .unwrap();
    String::from_utf8(out).unwrap()
}

fn text<'a>(map: &'a Ipld, key: &str) -> Option<&'a str> {
    match map.get(key).unwrap() {
        Some(Ipld::String(text)) => Some(text),
        _ => None,
    }
}

fn car_blocks(car: &[u8]) -> HashMap<Cid, &[u8]> {
    let section = |bytes| {
        let (length, rest): (u64, &[u8]) = read_varint(bytes).unwrap();
        rest.split_at(usize::try_from(length).unwrap())
    };
    let (_header, mut rest) = section(car);
    let mut blocks = HashMap::new();
    while !rest.is_empty() {
        let (block, after) = section(rest);
        let (link, data) = Link::split_from(block).unwrap();
        blocks.insert(link.try_into().unwrap(), data);
        rest = after;
    }
    blocks
}

#[test]
fn a_record_of_the_longest_lists_is_no_trouble() {
    // Every entry out of order, so that all of them move.
    let mut writer = CborWriter::new();
    writer.map(676 + 26);
    let letters = || ('a'..='z').rev();
    let mut one: Vec<String> = letters().map(String::from).collect();
    one.sort_unstable();
    let mut two: Vec<String> = letters()
        .flat_map(|a| letters().map(move |b| format!("{a}{b}")))
        .collect();
    two.sort_unstable();
    for key in one.iter().chain(&two) {
        writer.text(key).text(key);
    }
    let mut out = Vec::new();
    Encoder::new()
        .record_to_json(&writer.into_bytes(), &mut out)
        .unwrap();
    let mut keys: Vec<String> = one.into_iter().chain(two).collect();
    keys.sort_unstable();
    let entries: Vec<String> = keys
        .iter()
        .map(|key| format!(r#""{key}":"{key}""#))
        .collect();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        format!("{{{}}}", entries.join(","))
    );
}

/// `{"text": …}` with `count` control characters, each of which has six bytes in JSON.
fn control_characters(count: u32) -> Vec<u8> {
    let mut record = b"\xa1\x64text\x7a".to_vec();
    record.extend(count.to_be_bytes());
    record.resize(record.len() + count as usize, 1);
    record
}

#[test]
fn a_line_that_would_be_longer_than_is_allowed_is_given_up_early() {
    let cid: Cid = CID.parse().unwrap();
    // Ten thousand entries in an array: it is not written to its end.
    let mut record = b"\xa1\x61a\x99\x27\x10".to_vec();
    record.resize(record.len() + 10_000, 0x40);
    let draft = |record| Draft {
        did: DID,
        body: DraftBody::Commit {
            rev: "3l3qo2vutsw2b",
            operation: Operation::Create,
            collection: "app.bsky.feed.post",
            rkey: "self",
            record: Some((record, &cid)),
        },
    };
    let mut encoder = Encoder::new();
    let mut whole = Vec::new();
    let place = encoder
        .encode_within(&draft(&record), Micros::new(7), usize::MAX, &mut whole)
        .unwrap();
    let mut out = Vec::with_capacity(4096);
    let error = encoder
        .encode_within(&draft(&record), Micros::new(7), 2_000, &mut out)
        .unwrap_err();
    assert_eq!(error.reason(), "output_too_long");
    assert!(out.is_empty());
    assert_eq!(out.capacity(), 4096, "more was written than is allowed");
    // One text that is too long by itself.
    let text = control_characters(70_000);
    let fits = encoder.encode_within(&draft(&text), Micros::new(7), 420_500, &mut out);
    assert!(fits.is_ok());
    let error = encoder.encode_within(&draft(&text), Micros::new(7), 420_000, &mut out);
    assert_eq!(error.unwrap_err().reason(), "output_too_long");

    // What was written of a record makes the same line again, under the same bound.
    let json = &whole[place];
    let mut again = Vec::new();
    encoder
        .encode_again(
            &draft(&record),
            Micros::new(7),
            json,
            whole.len(),
            &mut again,
        )
        .unwrap();
    assert_eq!(again, whole);
    let error = encoder.encode_again(
        &draft(&record),
        Micros::new(7),
        json,
        whole.len() - 1,
        &mut again,
    );
    assert_eq!(error.unwrap_err().reason(), "output_too_long");
    assert_eq!(again, whole);
}
