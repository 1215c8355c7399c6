//! The records that a commit's operations name.

use jetwash_cbor::{Cid, Codec, Writer};
use jetwash_frame::{Commit, Frame};
use jetwash_mst::{Change, CommitError, OpFault, leaves};

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
                Change::Create(record) | Change::Update(record) => {
                    assert_eq!(record.cid.to_string(), op["cid"]);
                    assert_eq!(record.data.len(), op["record_len"]);
                }
                Change::Delete => assert!(op["cid"].is_null()),
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
                Change::Create(record) => record.data.to_vec(),
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
            parts.ops[0].0 = "no slash".to_owned();
            parts.ops[1].0 = "com.example.note/..".to_owned();
            parts.ops[2].1 = Cid::of(Codec::DagCbor, b"not there");
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
    let headless = frame(1, |parts| drop(parts.blocks.pop()));
    assert_eq!(
        leaves(&commit(&headless)).unwrap_err(),
        CommitError::CommitBlock
    );
    let other = Cid::of(Codec::DagCbor, b"other");
    let frame = frame(1, |parts| parts.root = other);
    assert_eq!(leaves(&commit(&frame)).unwrap_err(), CommitError::Root);
}

/// A commit of so many creates, but for what `change` does to it.
fn frame(count: usize, change: impl FnOnce(&mut Parts)) -> Vec<u8> {
    let commit = Cid::of(Codec::DagCbor, b"\xa0");
    let records = (0..count).map(|index| {
        let data = record(index);
        (Cid::of(Codec::DagCbor, &data), data)
    });
    let mut blocks: Vec<_> = records.collect();
    let ops = blocks.iter().enumerate();
    let ops = ops
        .map(|(index, (cid, _))| (format!("com.example.note/{index}"), *cid))
        .collect();
    blocks.push((commit, b"\xa0".to_vec()));
    let mut parts = Parts {
        root: commit,
        ops,
        blocks,
    };
    change(&mut parts);
    parts.encode(&commit)
}

fn commit(frame: &[u8]) -> Commit<'_> {
    match Frame::decode(frame) {
        Ok(Frame::Commit(commit)) => commit,
        other => panic!("{other:?}"),
    }
}

fn record(index: usize) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.text(&format!("record {index}"));
    writer.into_bytes()
}

struct Parts {
    root: Cid,
    ops: Vec<(String, Cid)>,
    blocks: Vec<(Cid, Vec<u8>)>,
}

impl Parts {
    fn encode(&self, commit: &Cid) -> Vec<u8> {
        let mut frame = Writer::new();
        frame
            .map(2)
            .text("t")
            .text("#commit")
            .text("op")
            .unsigned(1)
            .map(10);
        frame.text("ops").array(self.ops.len());
        for (path, cid) in &self.ops {
            frame.map(3).text("cid").link(cid).text("path").text(path);
            frame.text("action").text("create");
        }
        frame
            .text("rev")
            .text("3l3qo2vutsw2b")
            .text("seq")
            .unsigned(7);
        frame
            .text("repo")
            .text("did:web:a.example")
            .text("time")
            .text("2026-07-04T14:38:07Z");
        frame.text("since").null().text("blocks").bytes(&self.car());
        frame
            .text("commit")
            .link(commit)
            .text("rebase")
            .boolean(false);
        frame.text("tooBig").boolean(false);
        frame.into_bytes()
    }

    fn car(&self) -> Vec<u8> {
        let mut header = Writer::new();
        header
            .map(2)
            .text("roots")
            .array(1)
            .link(&self.root)
            .text("version")
            .unsigned(1);
        let header = header.into_bytes();
        let mut file = vec![header.len() as u8];
        file.extend(&header);
        for (cid, data) in &self.blocks {
            // Small blocks, so that the length is one byte.
            file.push((Cid::LENGTH + data.len()) as u8);
            file.extend(cid.as_bytes());
            file.extend(data);
        }
        file
    }
}
