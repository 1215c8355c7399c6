//! Real frames of July 2026, and what becomes of them when they are changed.

use std::collections::HashMap;

use jetwash_corpus::{Corpus, corpus};
use jetwash_event::Micros;
use jetwash_frame::Frame;
use jetwash_verify::{
    Known, KnownKey, Outcome, Proof, PublicKey, Reason, RepoState, Skip, Verdict, Verifier,
};
use serde_json::Value;

use crate::{RECORDED_US, key_of};

#[test]
fn every_recorded_frame_is_verified_as_an_independent_decoder_says() {
    let Some(corpus) = corpus("recorded frames") else {
        return;
    };
    let frames = corpus.frames("firehose-2026-07-04/frames.bin.zst");
    let rows = corpus.json_lines("firehose-2026-07-04/frames_expected.jsonl");
    let keys = keys(&corpus);
    assert_eq!((frames.len(), rows.len()), (100, 100));
    let mut verifier = Verifier::new();
    let mut commits = 0;
    for (frame, row) in frames.iter().zip(&rows) {
        let frame = Frame::decode(frame).unwrap();
        let known = Known {
            key: KnownKey::Fresh(&keys[row["did"].as_str().unwrap()]),
            ..Known::default()
        };
        let outcome = verifier.verify(&frame, &known, Micros::new(RECORDED_US));
        let Frame::Commit(commit) = &frame else {
            assert_eq!(outcome, Outcome::Skipped(Skip::NoRepository));
            continue;
        };
        commits += 1;
        assert_eq!(row["sig"], "ok");
        assert_eq!(row["inverted_root"], row["prevData"]);
        let Outcome::Judged(judgement) = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(judgement.verdict, Verdict::Verified, "{row}");
        let state = judgement.state.unwrap();
        assert_eq!(state.rev().as_str(), row["rev"].as_str().unwrap());
        assert_eq!(state.data().to_string(), row["data"].as_str().unwrap());
        assert!(!judgement.needs_repository);

        let claim = verifier.commit(commit, Micros::new(RECORDED_US)).unwrap();
        assert_eq!(
            (claim.proof(), claim.missing_records()),
            (Some(Proof::Complete), 0)
        );
    }
    assert_eq!(
        commits,
        rows.iter().filter(|row| row["t"] == "#commit").count()
    );
}

#[test]
fn every_edge_frame_gets_the_verdict_of_its_class() {
    let Some(corpus) = corpus("edge frames") else {
        return;
    };
    let frames = corpus.frames("edge-frames/edge_frames.bin.zst");
    let rows = corpus.json_lines("edge-frames/edge_frames.jsonl");
    let originals = corpus.json_lines("firehose-2026-07-04/frames_expected.jsonl");
    let keys = keys(&corpus);
    assert_eq!((frames.len(), rows.len()), (201, 201));
    let mut checked = HashMap::new();
    for (bytes, row) in frames.iter().zip(&rows) {
        let class = row["class"].as_str().unwrap();
        let name = row["name"].as_str().unwrap();
        let original = usize::try_from(row["base_frame"].as_i64().unwrap());
        let original = original.ok().map(|index| &originals[index]);
        let class_found = class_of(bytes, original, &keys, (class, name));
        assert_eq!(class_found, class, "{name} {}", row["n"]);
        *checked.entry(class).or_insert(0) += 1;
    }
    assert_eq!(checked.values().sum::<i32>(), 201);
}

/// The class of a frame, judged by the state that the frame before it left behind.
fn class_of(
    bytes: &[u8],
    original: Option<&Value>,
    keys: &HashMap<String, PublicKey>,
    expected: (&str, &str),
) -> &'static str {
    let frame = match Frame::decode(bytes) {
        Ok(frame) => frame,
        Err(error) => return class_of_reason(Reason::from(&error), expected),
    };
    match &frame {
        Frame::Unknown(_) => return "ignore",
        Frame::Info(_) => return "info",
        Frame::Error(_) => return "error_frame",
        Frame::Account(_) | Frame::Identity(_) => return "accept",
        _ => {}
    }
    let original = original.unwrap();
    let state = RepoState::new(
        original["since"].as_str().unwrap().parse().unwrap(),
        original["prevData"].as_str().unwrap().parse().unwrap(),
    );
    let mut verifier = Verifier::new();
    let key = KnownKey::Fresh(&keys[original["did"].as_str().unwrap()]);
    let is_sync = matches!(frame, Frame::Sync(_));
    let known = Known {
        // A sync says where the repository is, so it is judged as the first frame of its account.
        state: (!is_sync).then_some(&state),
        key,
        ..Known::default()
    };
    let outcome = verifier.verify(&frame, &known, Micros::new(RECORDED_US));
    let first_sight = Known {
        state: None,
        ..known
    };
    let unchained = verifier.verify(&frame, &first_sight, Micros::new(RECORDED_US));
    if outcome.verdict() != Some(Verdict::Discontinuous) {
        assert_eq!(outcome.verdict(), unchained.verdict(), "{expected:?}");
    }
    match outcome.verdict().unwrap() {
        Verdict::Verified => {
            let Frame::Commit(commit) = &frame else {
                return "accept";
            };
            match verifier
                .commit(commit, Micros::new(RECORDED_US))
                .unwrap()
                .missing_records()
            {
                0 => "accept",
                1 => "record_missing",
                _ => panic!("{expected:?}"),
            }
        }
        Verdict::Legacy => {
            let is_flagged = matches!(&frame, Frame::Commit(commit) if commit.too_big);
            if is_flagged {
                "deprecated_flag"
            } else {
                "legacy_commit"
            }
        }
        Verdict::InsufficientProof => {
            assert_eq!(expected.1, "missing_mst_root");
            "inversion_fail"
        }
        Verdict::Discontinuous => {
            assert_eq!(unchained.verdict(), Some(Verdict::Verified));
            "chain_only"
        }
        Verdict::Unresolved => panic!("there is a key"),
        Verdict::Invalid(reason) => class_of_reason(reason, expected),
    }
}

fn class_of_reason(reason: Reason, (_, name): (&str, &str)) -> &'static str {
    match reason {
        Reason::FrameMalformed | Reason::FrameFieldMissing => "malformed_frame",
        Reason::FrameOverLimit => "limit_exceeded",
        Reason::DidSyntax
        | Reason::RevSyntax
        | Reason::SinceSyntax
        | Reason::TimeSyntax
        | Reason::OpPath => "invalid_syntax",
        Reason::Rebase => "deprecated_flag",
        Reason::OpAction | Reason::OpCid | Reason::OpPrev => "invalid_op",
        Reason::OpPathRepeated => "duplicate_path",
        Reason::CarMalformed | Reason::CommitMissing => "car_invalid",
        Reason::CarHash => "hash_mismatch",
        Reason::CommitMalformed => "invalid_commit",
        Reason::CommitVersion => "unsupported_version",
        Reason::CarRoot | Reason::CommitDid | Reason::CommitRev => "field_mismatch",
        Reason::OpMismatch | Reason::RootMismatch => "inversion_fail",
        Reason::SignatureForm | Reason::SignatureMismatch => "bad_signature",
        Reason::RevFuture | Reason::TooBig | Reason::Tree | Reason::KeyUnusable => {
            panic!("{name}: {reason:?}")
        }
    }
}

fn keys(corpus: &Corpus) -> HashMap<String, PublicKey> {
    let documents = corpus.json("firehose-2026-07-04/did_docs.json");
    let documents = documents.as_object().unwrap().iter();
    documents
        .map(|(did, document)| (did.clone(), key_of(document)))
        .collect()
}
