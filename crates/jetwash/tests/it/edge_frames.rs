//! Frames that are not as they should be: what becomes of each, and that those around it arrive.

use jetwash::frame::{Car, Frame, peek};
use jetwash::mst::{BlockCheck, Node};
use jetwash::{Filter, Kind, Micros, Pipeline};
use jetwash_sim::{ManualNetwork, SimChange, did};
use serde_json::json;

use crate::{NOW_US, lines, pipeline};

/// The outcome of a frame, apart from its neighbours.
#[derive(Debug, PartialEq)]
enum Outcome {
    /// This number of events, and nothing is counted.
    Events(usize),
    /// Dropped for this reason, all of it or some operations; the others give this number of events.
    Dropped(&'static str, usize),
    /// Counted as ignored, and as nothing else.
    Ignored,
}

/// Every edge frame that needs no key, proof or history to be told from a good one.
#[test]
fn every_edge_frame_gets_its_class_and_its_neighbours_arrive() {
    let Some(corpus) = jetwash_corpus::corpus("edge frames") else {
        return;
    };
    let frames = corpus.frames("edge-frames/edge_frames.bin.zst");
    let rows = corpus.json_lines("edge-frames/edge_frames.jsonl");
    assert_eq!((frames.len(), rows.len()), (201, 201));
    let mut checked = 0;
    for (frame, row) in frames.iter().zip(&rows) {
        let class = row["class"].as_str().unwrap();
        let name = row["name"].as_str().unwrap();
        // How many operations the frame had before it was changed.
        let ops = match row["base_frame"].as_i64().unwrap() {
            53 => 3,
            _ => 1,
        };
        let outcome = outcome(frame);
        if let Some(expected) = expected(class, name, ops) {
            assert_eq!(outcome, expected, "{class} {name} {}", row["n"]);
            checked += 1;
        }
    }
    assert_eq!(checked, 159);
}

/// `None` for what only a verifier can tell from a good frame.
fn expected(class: &str, name: &str, ops: usize) -> Option<Outcome> {
    Some(match (class, name) {
        ("bad_signature" | "chain_only" | "inversion_fail", _) => return None,
        // Nothing is wrong with these, but no event comes of them.
        ("info" | "error_frame", _) => Outcome::Events(0),
        ("accept", "sync_ok") => Outcome::Events(1),
        ("accept" | "legacy_commit", _) => Outcome::Events(ops),
        // The flag alone decides nothing: all blocks are there.
        ("deprecated_flag", "tooBig_true") => Outcome::Events(ops),
        ("deprecated_flag", _) => Outcome::Dropped("rebase", 0),
        ("ignore", _) => Outcome::Ignored,
        ("malformed_frame", "missing_t" | "missing_seq" | "account_no_active") => {
            Outcome::Dropped("frame_field_missing", 0)
        }
        ("malformed_frame", _) => Outcome::Dropped("frame_malformed", 0),
        ("limit_exceeded", _) => Outcome::Dropped("frame_over_limit", 0),
        ("invalid_syntax", "bad_did_syntax") => Outcome::Dropped("did_invalid", 0),
        ("invalid_syntax", "bad_rev_syntax") => Outcome::Dropped("rev_invalid", 0),
        ("car_invalid", "missing_commit_block") => Outcome::Dropped("car_without_commit", 0),
        ("car_invalid", _) => Outcome::Dropped("car_invalid", 0),
        ("hash_mismatch", _) => Outcome::Dropped("car_hash_mismatch", 0),
        ("unsupported_version", _) => Outcome::Dropped("commit_version", 0),
        ("invalid_commit", _) => Outcome::Dropped("commit_malformed", 0),
        ("field_mismatch", "wrong_commit_cid") => Outcome::Dropped("car_root_mismatch", 0),
        ("field_mismatch", "wrong_repo") => Outcome::Dropped("commit_did_mismatch", 0),
        ("field_mismatch", _) => Outcome::Dropped("commit_rev_mismatch", 0),
        // What is wrong with one operation costs that operation.
        ("invalid_syntax", "op_bad_path") => Outcome::Dropped("op_path_invalid", ops - 1),
        ("record_missing", _) => Outcome::Dropped("op_block_missing", ops - 1),
        ("duplicate_path", _) => Outcome::Dropped("op_path_repeated", ops - 1),
        ("invalid_op", "action_unknown") => Outcome::Dropped("op_action_unknown", ops - 1),
        ("invalid_op", "create_cid_null" | "delete_with_cid") => {
            Outcome::Dropped("op_cid_invalid", ops - 1)
        }
        ("invalid_op", _) => Outcome::Dropped("op_prev_invalid", ops - 1),
        other => panic!("{other:?}"),
    })
}

#[test]
fn a_commit_that_says_rebase_is_dropped() {
    let frame = replaced(&commit(), b"\x66rebase\xf4", b"\x66rebase\xf5");
    assert_eq!(outcome(&frame), Outcome::Dropped("rebase", 0));
}

#[test]
fn too_big_decides_nothing_unless_there_are_no_operations() {
    let flag = |frame: &[u8]| replaced(frame, b"\x66tooBig\xf4", b"\x66tooBig\xf5");
    assert_eq!(outcome(&flag(&commit())), Outcome::Events(1));
    let mut network = ManualNetwork::new();
    network.set_next_seq(SEQ);
    let empty = network.apply(&SimChange::commit(did(0), [])).unwrap().bytes;
    assert_eq!(outcome(&empty), Outcome::Events(0));
    assert_eq!(outcome(&flag(&empty)), Outcome::Dropped("too_big", 0));
}

#[test]
fn a_commit_without_the_deprecated_flags_arrives() {
    // One field less, and another.
    let head = |count: u8| [HEADER, &[0xa0 + count][..], b"\x63ops"].concat();
    let frame = replaced(&commit(), b"\x66rebase\xf4", b"");
    let frame = replaced(&frame, &head(11), &head(10));
    assert_eq!(outcome(&frame), Outcome::Events(1));
    let frame = replaced(&frame, b"\x66tooBig\xf4", b"");
    let frame = replaced(&frame, &head(10), &head(9));
    assert_eq!(outcome(&frame), Outcome::Events(1));
}

#[test]
fn a_header_in_the_other_order_arrives_through_filters_too() {
    let frame = replaced(&commit(), HEADER, b"\xa2\x62op\x01\x61t\x67#commit");
    assert_eq!(outcome(&frame), Outcome::Events(1));
    let (pipeline, log) = pipeline();
    let filter = Filter::new().kinds([Kind::Commit]).dids([did(0)]).unwrap();
    let filter = filter.collections(["com.example.note"]).unwrap();
    let mut pipeline = pipeline.filter(filter);
    pipeline.frame("a", &frame, Micros::new(NOW_US)).unwrap();
    pipeline.commit().unwrap();
    assert_eq!(lines(&log).len(), 1);
}

#[test]
fn frames_of_types_that_are_not_known_are_ignored_and_not_dropped() {
    let novelty = replaced(&commit(), b"#commit", b"#novels");
    assert_eq!(outcome(&novelty), Outcome::Ignored);
    let op = replaced(&commit(), b"\x62op\x01", b"\x62op\x02");
    assert_eq!(outcome(&op), Outcome::Ignored);
}

#[test]
fn a_commit_under_the_name_of_another_account_is_dropped() {
    let (own, other) = (did(0), did(1));
    let repo = |did: &str| [b"\x64repo\x78\x20", did.as_bytes()].concat();
    let frame = replaced(&commit(), &repo(&own), &repo(&other));
    assert_eq!(outcome(&frame), Outcome::Dropped("commit_did_mismatch", 0));
}

#[test]
fn a_commit_under_another_revision_is_dropped() {
    let frame = commit();
    let Ok(Frame::Commit(decoded)) = Frame::decode(&frame) else {
        panic!()
    };
    let rev = [b"\x63rev\x6d", decoded.rev.as_bytes()].concat();
    // The frame's own comes first, that of the commit object later.
    let other = replaced(&frame, &rev, b"\x63rev\x6d3l3qo2vutsw2b");
    assert_eq!(outcome(&other), Outcome::Dropped("commit_rev_mismatch", 0));
}

#[test]
fn a_damaged_node_costs_the_commit_unless_its_relay_is_trusted() {
    let frame = commit();
    let Ok(Frame::Commit(decoded)) = Frame::decode(&frame) else {
        panic!()
    };
    let car = Car::parse(decoded.blocks).unwrap();
    let nodes = car.blocks().map(Result::unwrap);
    let node = nodes
        .map(|block| block.data)
        .find(|data| Node::decode(data).is_ok());
    let mut damaged = node.unwrap().to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    let damaged = replaced(&frame, node.unwrap(), &damaged);
    assert_eq!(outcome(&damaged), Outcome::Dropped("car_hash_mismatch", 0));
    let trusting = |pipeline: Pipeline| pipeline.check_blocks(BlockCheck::Named);
    assert_eq!(outcome_in(trusting, &damaged), Outcome::Events(1));
}

#[test]
fn a_frame_of_nested_tags_costs_that_frame_on_a_small_stack() {
    let check = || {
        for tags in [200, 20_000, 1_000_000] {
            let tags = b"\xd8\x2a".repeat(tags);
            let frames = [
                // In a field, in an operation, in the header, and as the header.
                [HEADER, b"\xa1\x66commit", &tags].concat(),
                [HEADER, b"\xa1\x63ops\x81\xa1\x63cid", &tags].concat(),
                [b"\xa3\x61t\x67#commit\x61x", &tags[..]].concat(),
                tags.clone(),
            ];
            for frame in frames {
                assert_eq!(outcome(&frame), Outcome::Dropped("frame_malformed", 0));
            }
        }
    };
    let thread = std::thread::Builder::new().stack_size(512 << 10);
    thread.spawn(check).unwrap().join().unwrap();
}

/// The outcome of a frame between two good ones, whose events are left out of the count.
fn outcome(frame: &[u8]) -> Outcome {
    outcome_in(|pipeline| pipeline, frame)
}

fn outcome_in(set: impl FnOnce(Pipeline) -> Pipeline, frame: &[u8]) -> Outcome {
    let (pipeline, log) = pipeline();
    let mut pipeline = set(pipeline);
    let seq = peek(frame).ok().and_then(|peeked| peeked.seq);
    let mut network = ManualNetwork::new();
    let mut neighbour = |seq| {
        network.set_next_seq(seq);
        let note = json!({"$type": "com.example.note", "text": seq.to_string()});
        let change = SimChange::create(did(7), "com.example.note", &seq.to_string(), note);
        network.apply(&change).unwrap().bytes
    };
    let (before, after) = match seq {
        Some(seq) => (seq - 1, seq + 1),
        None => (1, 2),
    };
    for frame in [&neighbour(before), frame, &neighbour(after)] {
        pipeline.frame("relay", frame, Micros::new(NOW_US)).unwrap();
    }
    pipeline.commit().unwrap();
    let lines = lines(&log);
    let events = lines.len().checked_sub(2).expect("the neighbours arrive");
    for (line, seq) in [(lines.first(), before), (lines.last(), after)] {
        let text = format!(r#""text":"{seq}""#);
        assert!(
            line.is_some_and(|line| line.contains(&text)),
            "the neighbours arrive"
        );
    }
    let snapshot = pipeline.snapshot();
    let dropped: Vec<_> = snapshot.dropped.keys().copied().collect();
    match (&dropped[..], snapshot.ignored) {
        ([], 0) => Outcome::Events(events),
        ([reason], 0) => Outcome::Dropped(reason, events),
        ([], 1) if events == 0 => Outcome::Ignored,
        _ => panic!("{snapshot:?}"),
    }
}

/// A good commit of one create.
fn commit() -> Vec<u8> {
    let mut network = ManualNetwork::new();
    network.set_next_seq(SEQ);
    let note = json!({"$type": "com.example.note", "text": "hej"});
    let change = SimChange::create(did(0), "com.example.note", "1", note);
    network.apply(&change).unwrap().bytes
}

/// The frame with the first `from` in it replaced.
fn replaced(frame: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = frame.windows(from.len()).position(|window| window == from);
    let (before, rest) = frame.split_at(at.expect("it is in the frame"));
    [before, to, &rest[from.len()..]].concat()
}

const HEADER: &[u8] = b"\xa2\x61t\x67#commit\x62op\x01";
const SEQ: u64 = 1_000;
