//! Real frames against an independent decode of them.

use jetwash_cbor::Link;
use jetwash_frame::{Action, Car, Frame, peek};
use serde_json::Value;

#[test]
fn real_frames_decode_as_an_independent_decoder_says() {
    let Some(corpus) = jetwash_corpus::corpus("real frames") else {
        return;
    };
    let frames = corpus.frames("firehose-2026-07-04/frames.bin.zst");
    let expected = corpus.json_lines("firehose-2026-07-04/frames_expected.jsonl");
    assert_eq!(frames.len(), expected.len());
    for (bytes, expected) in frames.iter().zip(&expected) {
        let peeked = peek(bytes).unwrap();
        assert_eq!(format!("#{}", peeked.kind.as_str()), expected["t"]);
        assert_eq!(peeked.seq, expected["seq"].as_u64());
        assert_eq!(peeked.did, expected["did"].as_str());
        match Frame::decode(bytes).unwrap() {
            Frame::Commit(commit) => {
                assert_eq!(commit.seq, expected["seq"]);
                assert_eq!(commit.repo, expected["did"]);
                assert_eq!(commit.time, expected["time"]);
                assert_eq!(commit.rev, expected["rev"]);
                assert_eq!(commit.since, expected["since"].as_str());
                assert_eq!(text(Some(commit.commit)), expected["commit"]);
                assert_eq!(text(commit.prev_data), expected["prevData"]);
                assert_eq!(commit.blocks.len(), expected["blocks_len"]);
                assert_ops(&commit, &expected["ops"]);
                assert_blocks(&commit, expected);
            }
            Frame::Identity(identity) => {
                assert_eq!(identity.did, expected["did"]);
                assert_eq!(identity.time, expected["time"]);
            }
            Frame::Account(account) => {
                assert_eq!(account.did, expected["did"]);
                assert_eq!(account.time, expected["time"]);
            }
            other => panic!("{other:?}"),
        }
    }
}

fn assert_ops(commit: &jetwash_frame::CommitMessage<'_>, expected: &Value) {
    let expected = expected.as_array().unwrap();
    assert_eq!(commit.ops().len(), expected.len());
    for (op, expected) in commit.ops().iter().zip(expected) {
        let action = match op.action {
            Action::Create => "create",
            Action::Update => "update",
            Action::Delete => "delete",
            Action::Other(other) => other,
        };
        assert_eq!(action, expected["action"]);
        assert_eq!(op.path, expected["path"]);
        assert_eq!(text(op.cid), expected["cid"]);
        assert_eq!(text(op.prev), expected["prev"]);
    }
}

fn assert_blocks(commit: &jetwash_frame::CommitMessage<'_>, expected: &Value) {
    let car = Car::parse(commit.blocks).unwrap();
    let blocks: Vec<_> = car.blocks().collect::<Result<_, _>>().unwrap();
    assert_eq!(blocks.len(), expected["n_blocks"]);
    for (index, block) in blocks.iter().enumerate() {
        assert_eq!(block.verify().unwrap().to_string(), block.cid.to_string());
        let is_commit = block.cid == commit.commit;
        assert_eq!(is_commit, expected["commit_block_index"] == index);
    }
}

fn text(link: Option<Link<'_>>) -> Value {
    link.map_or(Value::Null, |link| link.to_string().into())
}
