//! Times a frame on its way from the socket into the log, step by step, beside the same work
//! done through trees of `serde_ipld_dagcbor` and `serde_json`.

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints its figures, and ends where its input is not what it should be"
)]

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use cid::Cid;
use ipld_core::ipld::Ipld;
use jetwash::event::{Draft, DraftBody, Encoder};
use jetwash::frame::{Car, Frame, peek};
use jetwash::mst::{BlockCheck, LeafChange, leaves};
use jetwash::store::{self, Appender, CommitPart, EventKind, Location, NewEvent, Options};
use jetwash::{Dictionary, Micros, Operation, Pipeline};
use jetwash_benches::{Renewable, Table, frames, round_of};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

const NOW: Micros = Micros::new(1_900_000_000_000_000);

fn main() {
    let (frames, kind) = frames();
    let mean = frames.iter().map(Vec::len).sum::<usize>() / frames.len();
    let dictionary = dictionary(&frames);
    let count = frames.len();
    println!("{count} {kind} of {mean} bytes in the mean, one thread");
    steps(&frames, &dictionary);
    whole_way(&frames, &dictionary);
}

/// The steps, each on its own.
fn steps(frames: &[Vec<u8>], dictionary: &Dictionary) {
    let decoded: Vec<Frame<'_>> = frames
        .iter()
        .map(|frame| Frame::decode(frame).unwrap())
        .collect();
    let drafts = drafts(&decoded);
    let lines: Vec<Vec<u8>> = drafts.iter().map(|draft| line(draft)).collect();
    let (mut encoder, mut out) = (Encoder::new(), Vec::new());
    let mut compressor = dictionary.compressor();
    let mut compressed = Vec::new();
    let _ = Table::new("steps", frames.len())
        .row("peek: kind, seq and DID", || {
            frames
                .iter()
                .filter_map(|frame| peek(frame).ok()?.seq)
                .sum::<u64>()
        })
        .row("decode: both items of the frame", || {
            frames
                .iter()
                .filter(|frame| Frame::decode(frame).is_ok())
                .count()
        })
        .row("leaf: find, hash and check each record", || {
            decoded.iter().map(|frame| leaf_bytes(frame)).sum::<usize>()
        })
        .row("JSON: the line of production", || {
            out.clear();
            for draft in &drafts {
                encoder.encode(draft, NOW, &mut out).unwrap();
            }
            out.len()
        })
        .row("dictionary: one zstd frame an event", || {
            compressed.clear();
            for line in &lines {
                compressor.compress(line, &mut compressed).unwrap();
            }
            compressed.len()
        })
        .run(Duration::from_secs(6));
}

/// All of it, into a log on disk.
fn whole_way(frames: &[Vec<u8>], dictionary: &Dictionary) {
    let folders: [_; 3] = std::array::from_fn(|_| tempfile::tempdir().unwrap());
    let open = |index: usize| {
        let location = Location::Disk(folders[index].path().to_owned());
        store::open(location, Options::default()).unwrap()
    };
    let (appender, _log) = open(0);
    // Hashes the blocks that the trees hash too.
    let pipeline = Pipeline::new(appender).check_blocks(BlockCheck::Named);
    let mut pipeline = pipeline.dictionary(dictionary).unwrap();
    let (appender, _checked_log) = open(2);
    let mut checked = Pipeline::new(appender).dictionary(dictionary).unwrap();
    let (mut appender, _tree_log) = open(1);
    appender.set_dictionary(dictionary).unwrap();
    let mut compressor = dictionary.compressor();
    let (mut encoder, mut out) = (Encoder::new(), Vec::new());
    let mut lines = Vec::new();
    let renewed = RefCell::new(Renewed::new(frames));
    let medians = Table::new("the whole way, into a log on disk", frames.len())
        .row("jetwash, as far as the JSON", || {
            out.clear();
            for frame in frames {
                assert!(peek(frame).unwrap().seq.is_some());
                encode_frame(frame, &mut encoder, &mut out);
            }
            out.len()
        })
        .row_after(
            "jetwash, into the log",
            || renewed.borrow_mut().next(),
            || take_in(&mut pipeline, &renewed.borrow().frames),
        )
        .row("through trees, as far as the JSON", || {
            lines.clear();
            for frame in frames {
                tree_lines(frame, &mut lines);
            }
            lines.len()
        })
        .row("through trees, into the same log", || {
            for (index, frame) in frames.iter().enumerate() {
                tree_append(frame, &mut compressor, &mut appender);
                if index % BATCH == BATCH - 1 {
                    appender.commit().unwrap();
                }
            }
            appender.commit().unwrap();
        })
        .row_after(
            "jetwash, into the log, every block hashed",
            || renewed.borrow_mut().next(),
            || take_in(&mut checked, &renewed.borrow().frames),
        )
        .run(Duration::from_secs(10));
    println!(
        "\nas far as the JSON, the trees take {:.1} times as long; into the log, with the same \
         compression and the same storage on both sides, {:.1} times",
        medians[2] / medians[0],
        medians[3] / medians[1],
    );
}

/// The frames, each round under later revisions.
struct Renewed {
    frames: Vec<Vec<u8>>,
    places: Vec<Renewable>,
    by: u64,
}

impl Renewed {
    fn new(frames: &[Vec<u8>]) -> Self {
        Self {
            frames: frames.to_vec(),
            places: frames.iter().map(|frame| Renewable::new(frame)).collect(),
            by: 0,
        }
    }

    fn next(&mut self) {
        self.by += round_of(&self.places);
        for (frame, places) in self.frames.iter_mut().zip(&self.places) {
            places.renew(frame, self.by);
        }
    }
}

fn take_in(pipeline: &mut Pipeline, frames: &[Vec<u8>]) {
    // From the first frame again, which would otherwise be a repeat.
    pipeline.set_cursor("relay", 0);
    for (index, frame) in frames.iter().enumerate() {
        pipeline.frame("relay", frame, NOW).unwrap();
        if index % BATCH == BATCH - 1 {
            pipeline.commit().unwrap();
        }
    }
    pipeline.commit().unwrap();
}

/// The official dictionary if the corpus is there, otherwise one made from the frames themselves.
fn dictionary(frames: &[Vec<u8>]) -> Dictionary {
    if let Some(corpus) = jetwash_corpus::corpus("the official dictionary, so one is trained") {
        return Dictionary::from_bytes(corpus.bytes("dictionaries/legacy_subscribe.zdict"))
            .unwrap();
    }
    let decoded: Vec<Frame<'_>> = frames
        .iter()
        .map(|frame| Frame::decode(frame).unwrap())
        .collect();
    let lines: Vec<Vec<u8>> = drafts(&decoded).iter().map(|draft| line(draft)).collect();
    Dictionary::train(&lines, 64 << 10, 1).unwrap()
}

fn drafts<'a>(frames: &'a [Frame<'_>]) -> Vec<Draft<'a>> {
    let mut drafts = Vec::new();
    for frame in frames {
        let Frame::Commit(commit) = frame else {
            continue;
        };
        for leaf in leaves(commit).unwrap().flatten() {
            let (operation, record) = match leaf.change {
                LeafChange::Create(record) => (Operation::Create, Some(record)),
                LeafChange::Update(record) => (Operation::Update, Some(record)),
                LeafChange::Delete => (Operation::Delete, None),
            };
            let record = record.map(|record| (record.data, &*Box::leak(Box::new(record.cid))));
            let (collection, rkey) = (leaf.collection, leaf.rkey);
            let body = DraftBody::Commit {
                rev: commit.rev,
                operation,
                collection,
                rkey,
                record,
            };
            drafts.push(Draft {
                did: commit.repo,
                body,
            });
        }
    }
    drafts
}

/// The lines of a frame's records, as the pipeline makes them.
fn encode_frame(frame: &[u8], encoder: &mut Encoder, out: &mut Vec<u8>) {
    let Frame::Commit(commit) = Frame::decode(frame).unwrap() else {
        return;
    };
    for leaf in leaves(&commit).unwrap() {
        let leaf = leaf.unwrap();
        let (operation, record) = match &leaf.change {
            LeafChange::Create(record) => (Operation::Create, Some((record.data, &record.cid))),
            LeafChange::Update(record) => (Operation::Update, Some((record.data, &record.cid))),
            LeafChange::Delete => (Operation::Delete, None),
        };
        let (collection, rkey) = (leaf.collection, leaf.rkey);
        let body = DraftBody::Commit {
            rev: commit.rev,
            operation,
            collection,
            rkey,
            record,
        };
        encoder
            .encode(
                &Draft {
                    did: commit.repo,
                    body,
                },
                NOW,
                out,
            )
            .unwrap();
    }
}

fn line(draft: &Draft<'_>) -> Vec<u8> {
    let mut line = Vec::new();
    Encoder::new().encode(draft, NOW, &mut line).unwrap();
    line
}

fn leaf_bytes(frame: &Frame<'_>) -> usize {
    let Frame::Commit(commit) = frame else {
        return 0;
    };
    let size = |change| match change {
        LeafChange::Create(record) | LeafChange::Update(record) => record.data.len(),
        LeafChange::Delete => 0,
    };
    leaves(commit)
        .unwrap()
        .flatten()
        .map(|leaf| size(leaf.change))
        .sum()
}

/// The way that the usual crates suggest: each item into a tree, each block into a map, the record
/// into a tree of CBOR, then into one of JSON, then into text.
fn tree_lines(frame: &[u8], lines: &mut Vec<(EventKind, String, String, Vec<u8>)>) {
    let mut items = serde_ipld_dagcbor::de::Deserializer::from_slice(frame);
    let Ipld::Map(header) = Ipld::deserialize(&mut items).unwrap() else {
        return;
    };
    let Ipld::Map(payload) = Ipld::deserialize(&mut items).unwrap() else {
        return;
    };
    let text = |field: &Ipld| match field {
        Ipld::String(text) => text.clone(),
        _ => String::new(),
    };
    let kind = text(&header["t"]);
    if kind != "#commit" {
        let did = text(&payload["did"]);
        let body = json!({
            "did": did, "seq": to_json(&payload["seq"]), "time": text(&payload["time"]),
        });
        let (kind, name) = match kind.as_str() {
            "#identity" => (EventKind::Identity, "identity"),
            "#account" => (EventKind::Account, "account"),
            _ => return,
        };
        let event = json!({"did": did, "time_us": NOW, "kind": name, name: body});
        lines.push((
            kind,
            did,
            String::new(),
            serde_json::to_vec(&event).unwrap(),
        ));
        return;
    }
    let (Ipld::Bytes(blocks), Ipld::List(ops)) = (&payload["blocks"], &payload["ops"]) else {
        return;
    };
    let mut by_cid: HashMap<Cid, &[u8]> = HashMap::new();
    for block in Car::parse(blocks).unwrap().blocks() {
        let block = block.unwrap();
        by_cid.insert(Cid::try_from(block.cid.as_bytes()).unwrap(), block.data);
    }
    let did = text(&payload["repo"]);
    for op in ops {
        let Ipld::Map(op) = op else { continue };
        let (path, action) = (text(&op["path"]), text(&op["action"]));
        let (collection, rkey) = path.split_once('/').unwrap();
        let mut commit = json!({
            "rev": text(&payload["rev"]), "operation": action,
            "collection": collection, "rkey": rkey,
        });
        if let Ipld::Link(cid) = &op["cid"] {
            let record = by_cid[cid];
            assert_eq!(Sha256::digest(record)[..], *cid.hash().digest());
            let record: Ipld = serde_ipld_dagcbor::from_slice(record).unwrap();
            commit["record"] = to_json(&record);
            commit["cid"] = cid.to_string().into();
        }
        let event = json!({"did": did, "time_us": NOW, "kind": "commit", "commit": commit});
        let kind = match action.as_str() {
            "create" => EventKind::Create,
            "update" => EventKind::Update,
            _ => EventKind::Delete,
        };
        let json = serde_json::to_vec(&event).unwrap();
        lines.push((kind, did.clone(), collection.to_owned(), json));
    }
}

fn to_json(value: &Ipld) -> Value {
    match value {
        Ipld::Null => Value::Null,
        Ipld::Bool(value) => (*value).into(),
        Ipld::Integer(value) => i64::try_from(*value).unwrap().into(),
        Ipld::Float(value) => (*value).into(),
        Ipld::String(text) => text.as_str().into(),
        Ipld::Bytes(bytes) => json!({"$bytes": format!("{} bytes", bytes.len())}),
        Ipld::List(values) => values.iter().map(to_json).collect(),
        Ipld::Map(fields) => {
            let fields = fields
                .iter()
                .map(|(key, value)| (key.clone(), to_json(value)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
        Ipld::Link(cid) => json!({"$link": cid.to_string()}),
    }
}

fn tree_append(frame: &[u8], compressor: &mut jetwash::dict::Compressor, appender: &mut Appender) {
    let mut lines = Vec::new();
    tree_lines(frame, &mut lines);
    for (kind, did, collection, json) in &lines {
        let mut compressed = Vec::new();
        compressor.compress(json, &mut compressed).unwrap();
        let time_us = appender.next_time_us(NOW);
        let compressed = Some(compressed.as_slice());
        let event = NewEvent {
            kind: *kind,
            did,
            collection,
            commit: CommitPart::WHOLE,
            source: "wss://relay.example/",
            verdict: 0,
            time_us,
            json,
            compressed,
        };
        appender.push(&event).unwrap();
    }
}

/// Frames a commit.
const BATCH: usize = 256;
