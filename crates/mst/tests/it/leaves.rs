//! The records that a commit's operations name.

use jetwash_cbor::{Cid, Codec};
use jetwash_frame::Frame;
use jetwash_mst::{CommitError, LeafChange, OpFault, leaves};

use crate::parts::{commit, frame, record};

#[test]
fn real_commits_give_the_records_that_an_independent_decoder_found() {
    let Some(corpus) = jetwash_corpus::corpus("records of real commits") else {
        return;
    };
    let frames = corpus.frames("firehose-2026-07-04/frames.bin.zst");
    let expected = corpus.json_lines("firehose-2026-07-04/frames_expected.jsonl");
    let mut count = 0;
    for (frame, expected) in frames.iter().zip(&expected) {
        let Frame::Commit(commit) = Frame::decode(frame).unwrap() else {
            continue;
        };
        let ops = expected["ops"].as_array().unwrap();
        for (leaf, op) in leaves(&commit).unwrap().zip(ops) {
            let leaf = leaf.unwrap();
            assert_eq!(format!("{}/{}", leaf.collection, leaf.rkey), op["path"]);
            match leaf.change {
                LeafChange::Create(record) | LeafChange::Update(record) => {
                    assert_eq!(record.cid.to_string(), op["cid"]);
                    assert_eq!(record.data.len(), op["record_len"]);
                }
                LeafChange::Delete => assert!(op["cid"].is_null()),
            }
            count += 1;
        }
    }
    assert_eq!(count, 102);
}

#[test]
fn each_operation_gets_its_own_record_however_many_there_are() {
    // Below and above the number from which they are looked up instead of compared.
    for count in [1, 8, 9, 200] {
        let frame = frame(count, |_| {});
        let records: Vec<_> = leaves(&commit(&frame))
            .unwrap()
            .map(|leaf| match leaf.unwrap().change {
                LeafChange::Create(record) => record.data.to_vec(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(records, (0..count).map(record).collect::<Vec<_>>());
    }
}

#[test]
fn what_is_wrong_with_one_operation_leaves_the_others() {
    for count in [4, 20] {
        let frame = frame(count, |parts| {
            parts.ops[0].path = "no slash".to_owned();
            parts.ops[1].path = "com.example.note/..".to_owned();
            parts.ops[2].cid = Some(Cid::of(Codec::DagCbor, b"not there"));
        });
        let commit = commit(&frame);
        let found: Vec<_> = leaves(&commit).unwrap().collect();
        assert_eq!(found.len(), count);
        let fault = |index: usize| found[index].clone().unwrap_err().reason;
        assert_eq!(fault(0), OpFault::Path);
        assert!(matches!(fault(1), OpFault::RecordKey(_)));
        assert_eq!(fault(2), OpFault::BlockMissing);
        assert!(found[3..].iter().all(Result::is_ok));
    }
}

#[test]
fn a_record_that_is_not_what_its_cid_says_is_noticed() {
    let frame = frame(1, |parts| parts.blocks[0].1 = b"\x61x".to_vec());
    let commit = commit(&frame);
    let fault = leaves(&commit).unwrap().next().unwrap().unwrap_err();
    assert_eq!(fault.reason, OpFault::Hash);
}

#[test]
fn blocks_without_their_commit_are_refused() {
    let headless = frame(1, |parts| parts.has_object = false);
    assert_eq!(
        leaves(&commit(&headless)).unwrap_err(),
        CommitError::CommitBlock
    );
    let other = Cid::of(Codec::DagCbor, b"other");
    let frame = frame(1, |parts| parts.root = Some(other));
    assert_eq!(leaves(&commit(&frame)).unwrap_err(), CommitError::Root);
}
