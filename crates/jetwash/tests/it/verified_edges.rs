//! The edge frames with verification: all 201 classes, those that need a key, a proof or a history
//! included.

use std::collections::HashMap;
use std::io;

use futures_core::future::BoxFuture;
use jetwash::event::{Did, Tid};
use jetwash::identity::{DocumentAnswer, DocumentSource, Identities, IdentityOptions};
use jetwash::store::{self, AccountState, Location, Options, PackedRepo, Read, Store};
use jetwash::verification::RepoState;
use jetwash::{Micros, NetworkConfig, Pipeline, Snapshot, Verdict, Verify};
use jetwash_corpus::{Corpus, corpus};
use jetwash_sim::{ManualNetwork, SimChange, SimDirectory, did};
use serde_json::{Value, json};

use crate::NOW_US;

#[tokio::test]
async fn every_edge_frame_gets_its_class_and_its_neighbours_arrive() {
    let Some(corpus) = corpus("edge frames with verification") else {
        return;
    };
    let identities = identities(&corpus).await;
    let frames = corpus.frames("edge-frames/edge_frames.bin.zst");
    let rows = corpus.json_lines("edge-frames/edge_frames.jsonl");
    let originals = corpus.json_lines("firehose-2026-07-04/frames_expected.jsonl");
    assert_eq!((frames.len(), rows.len()), (201, 201));
    for (frame, row) in frames.iter().zip(&rows) {
        let class = row["class"].as_str().unwrap();
        let name = row["name"].as_str().unwrap();
        let original = usize::try_from(row["base_frame"].as_i64().unwrap());
        let original = original.ok().map(|index| &originals[index]);
        let found = outcome(frame, original, &identities);
        let expected = expected(class, name);
        assert!(
            expected.fits(&found),
            "{class} {name} {}: {found:?}",
            row["n"]
        );
    }
}

/// The consequence of a class.
enum Expected {
    /// Events, all with this verdict, or with none.
    Events(Option<Verdict>),
    /// No event, and nothing is counted but the frame.
    Nothing,
    /// Some operations are dropped for one of these reasons; the commit is verified.
    Part(&'static str),
    /// No event, and one of these reasons.
    Dropped(&'static [&'static str]),
}

/// The events of a frame by their verdicts, and the counts.
type Found = (Vec<Option<Verdict>>, Snapshot);

impl Expected {
    fn fits(&self, (verdicts, snapshot): &Found) -> bool {
        let dropped: Vec<_> = snapshot.dropped.keys().copied().collect();
        match self {
            Self::Events(verdict) => {
                !verdicts.is_empty()
                    && dropped.is_empty()
                    && verdicts.iter().all(|found| found == verdict)
            }
            Self::Nothing => verdicts.is_empty() && dropped.is_empty(),
            Self::Part(reason) => {
                dropped == [*reason]
                    && verdicts
                        .iter()
                        .all(|found| *found == Some(Verdict::Verified))
            }
            Self::Dropped(reasons) => {
                verdicts.is_empty() && dropped.len() == 1 && reasons.contains(&dropped[0])
            }
        }
    }
}

fn expected(class: &str, name: &str) -> Expected {
    use Expected::{Dropped, Events, Nothing, Part};
    match (class, name) {
        ("info" | "error_frame" | "ignore", _) => Nothing,
        ("accept", name) if name.contains("account") || name.contains("identity") => Events(None),
        ("accept", _) => Events(Some(Verdict::Verified)),
        ("legacy_commit", _) | ("deprecated_flag", "tooBig_true") => Events(Some(Verdict::Legacy)),
        ("deprecated_flag", _) => Dropped(&["rebase"]),
        ("chain_only", _) => Events(Some(Verdict::Discontinuous)),
        ("inversion_fail", "missing_mst_root") => Events(Some(Verdict::InsufficientProof)),
        ("inversion_fail", _) => {
            Dropped(&["proof_root_mismatch", "proof_op_mismatch", "tree_invalid"])
        }
        ("bad_signature", _) => Dropped(&["signature_mismatch", "signature_malformed"]),
        ("malformed_frame", _) => Dropped(&["frame_malformed", "frame_field_missing"]),
        ("limit_exceeded", _) => Dropped(&["frame_over_limit"]),
        ("invalid_syntax", _) => Dropped(&["did_invalid", "rev_invalid", "op_path_invalid"]),
        ("car_invalid", _) => Dropped(&["car_invalid", "car_without_commit"]),
        ("hash_mismatch", _) => Dropped(&["car_hash_mismatch"]),
        ("unsupported_version", _) => Dropped(&["commit_version"]),
        ("invalid_commit", _) => Dropped(&["commit_malformed"]),
        ("field_mismatch", _) => Dropped(&[
            "car_root_mismatch",
            "commit_did_mismatch",
            "commit_rev_mismatch",
        ]),
        ("record_missing", _) => Part("op_block_missing"),
        ("duplicate_path", _) => Dropped(&["op_path_repeated"]),
        ("invalid_op", _) => Dropped(&["op_action_unknown", "op_cid_invalid", "op_prev_invalid"]),
        other => panic!("{other:?}"),
    }
}

/// The outcome of a frame between two good ones, in a log that has the account as it was before the
/// frame that this one was made of.
fn outcome(frame: &[u8], original: Option<&Value>, identities: &Identities) -> Found {
    let (mut appender, log) = store::open(Location::Memory, Options::default()).unwrap();
    let is_sync = frame.windows(5).take(40).any(|window| window == b"#sync");
    if let Some(original) = original.filter(|original| original["since"].is_string() && !is_sync) {
        let since: Tid = original["since"].as_str().unwrap().parse().unwrap();
        let data = original["prevData"].as_str().unwrap().parse().unwrap();
        let mut state = AccountState::default();
        state.rev = since.time().get() << 10 | u64::from(since.clock());
        state.repo = PackedRepo::new(&RepoState::new(since, data).to_bytes());
        appender.set_account(original["did"].as_str().unwrap(), &state);
        appender.commit().unwrap();
    }
    let mut pipeline = Pipeline::new(appender).verify(&Verify::lenient(identities.clone()));
    let mut network = ManualNetwork::new();
    let mut neighbour = |text: &str| {
        let note = json!({"$type": "com.example.note", "text": text});
        let change = SimChange::create(did(0), "com.example.note", text, note);
        network.apply(&change).unwrap().bytes
    };
    let (before, after) = (neighbour("before"), neighbour("after"));
    for (source, frame) in [("a", &before[..]), ("b", frame), ("a", &after[..])] {
        pipeline.frame(source, frame, Micros::new(NOW_US)).unwrap();
    }
    pipeline.commit().unwrap();
    let mut verdicts = verdicts(&log);
    assert_eq!(verdicts.remove(0), Some(Verdict::Verified));
    assert_eq!(verdicts.pop(), Some(Some(Verdict::Verified)));
    (verdicts, pipeline.snapshot())
}

fn verdicts(log: &Store) -> Vec<Option<Verdict>> {
    let mut verdicts = Vec::new();
    let mut position = log.bounds().oldest_seq;
    loop {
        match log.read(position).unwrap() {
            Read::Events(run) => {
                let metas = run.indexes().map(|index| run.block().meta(index).unwrap());
                verdicts.extend(metas.map(|meta| Verdict::from_byte(meta.verdict)));
                position = run.next_seq();
            }
            // The frame may say that something is missing before it.
            Read::Gap(gap) if gap.next_seq > position => position = gap.next_seq,
            _ => return verdicts,
        }
    }
}

/// The documents of the recorded accounts, and of the simulator's.
struct Documents(HashMap<String, String>, SimDirectory);

impl DocumentSource for Documents {
    fn document<'a>(&'a self, did: &'a Did) -> BoxFuture<'a, io::Result<DocumentAnswer>> {
        let known = self.0.get(did.as_ref()).cloned();
        let document = known.or_else(|| self.1.document(did.as_ref()));
        let document = document.map(String::into_bytes);
        let answer = document.map_or(DocumentAnswer::NotFound, DocumentAnswer::Document);
        Box::pin(async { Ok(answer) })
    }
}

/// The accounts' keys, all of them known.
async fn identities(corpus: &Corpus) -> Identities {
    let documents = corpus.json("firehose-2026-07-04/did_docs.json");
    let documents = documents.as_object().unwrap().iter();
    let documents: HashMap<String, String> = documents
        .map(|(did, document)| (did.clone(), document.to_string()))
        .collect();
    let dids: Vec<String> = documents.keys().cloned().chain([did(0)]).collect();
    let simulated = SimDirectory::new(&NetworkConfig::default()).unwrap();
    let options = IdentityOptions::new().document_source(Documents(documents, simulated));
    let identities = options.without_directories().start().unwrap();
    for did in dids {
        identities.resolve(&did.parse().unwrap()).await.unwrap();
    }
    identities
}
