//! Frames say what the network says it did, as published crates read them.

use std::collections::HashMap;

use ipld_core::ipld::Ipld;
use jetwash_sim::{Network, NetworkConfig, SimCommit, SimEvent, SimFrame};

use crate::oracle::{self, Fields};
use crate::{config, network};

#[test]
fn frames_say_what_happened() {
    let mut network = network(1, 40);
    let frames: Vec<SimFrame> = network.by_ref().take(500).collect();
    for frame in &frames {
        let document = network.did_document(&frame.did).unwrap();
        check(frame, &document);
    }
}

#[test]
fn rare_frames_say_what_happened() {
    let config = NetworkConfig {
        rare_per_million: 700_000,
        ..config(2, 30)
    };
    let mut network = Network::new(config).unwrap();
    let frames: Vec<SimFrame> = network.by_ref().take(500).collect();
    let mut kinds = HashMap::new();
    for frame in &frames {
        let document = network.did_document(&frame.did).unwrap();
        let kind = check(frame, &document);
        *kinds.entry(kind).or_insert(0) += 1;
    }
    for kind in ["#account", "#commit", "#identity", "#sync"] {
        assert!(kinds[kind] > 20, "{kinds:?}");
    }
}

/// Holds a frame against what it should say, and gives its type.
pub(crate) fn check(frame: &SimFrame, document: &str) -> String {
    let (kind, message) = oracle::decode(&frame.bytes);
    assert_eq!(message["seq"], Ipld::Integer(frame.seq.into()));
    assert_eq!(oracle::text(&message, "time"), frame.time);
    let did = if kind == "#commit" { "repo" } else { "did" };
    assert_eq!(oracle::text(&message, did), *frame.did);
    match &frame.event {
        SimEvent::Commit(commit) => check_commit(&message, commit, document),
        other => check_other(&kind, &message, other, document),
    }
    kind
}

fn check_commit(message: &Fields, commit: &SimCommit, document: &str) {
    assert_eq!(oracle::text(message, "rev"), commit.rev);
    assert_eq!(oracle::optional_text(message, "since"), commit.since);
    let previous_data = commit.previous_data.map(|cid| cid.to_string());
    assert_eq!(oracle::link(message, "prevData"), previous_data);
    assert_eq!(
        oracle::link(message, "commit"),
        Some(commit.commit.to_string())
    );
    assert_eq!(message["tooBig"], Ipld::Bool(false));
    assert_eq!(message["rebase"], Ipld::Bool(false));
    assert_eq!(message["blobs"], Ipld::List(vec![]));

    let (root, blocks) = oracle::car(oracle::bytes(message, "blocks"));
    assert_eq!(root.to_string(), commit.commit.to_string());
    let blocks: HashMap<String, Vec<u8>> = blocks
        .into_iter()
        .map(|(cid, content)| (cid.to_string(), content))
        .collect();
    let object = oracle::signed_commit(&blocks[&root.to_string()], document);
    assert_eq!(oracle::text(&object, "did"), oracle::text(message, "repo"));
    assert_eq!(oracle::text(&object, "rev"), commit.rev);
    assert_eq!(oracle::link(&object, "data"), Some(commit.data.to_string()));
    assert_eq!(object["version"], Ipld::Integer(3));
    assert_eq!(object["prev"], Ipld::Null);
    // A commit of nothing has no new nodes.
    let is_empty = commit.ops.is_empty();
    assert!(is_empty || blocks.contains_key(&commit.data.to_string()));

    let Ipld::List(ops) = &message["ops"] else {
        panic!("no ops");
    };
    assert_eq!(ops.len(), commit.ops.len());
    for (op, truth) in ops.iter().zip(&commit.ops) {
        let Ipld::Map(op) = op else {
            panic!("an op that is no map");
        };
        let path = format!("{}/{}", truth.collection, truth.rkey);
        assert_eq!(oracle::text(op, "path"), path);
        assert_eq!(oracle::text(op, "action"), truth.action.as_str());
        let cid = truth.cid.map(|cid| cid.to_string());
        assert_eq!(oracle::link(op, "cid"), cid);
        assert_eq!(
            oracle::link(op, "prev"),
            truth.previous.map(|cid| cid.to_string())
        );
        assert_eq!(op.contains_key("prev"), truth.previous.is_some());
        let record = truth.record.as_deref().map(<[u8]>::to_vec);
        assert_eq!(cid.map(|cid| blocks[&cid].clone()), record);
        if let Some(record) = record {
            let Ipld::Map(record) = serde_ipld_dagcbor::from_slice(&record).unwrap() else {
                panic!("a record that is no map");
            };
            assert_eq!(oracle::text(&record, "$type"), truth.collection);
        }
    }
}

fn check_other(kind: &str, message: &Fields, event: &SimEvent, document: &str) {
    match event {
        SimEvent::Account { active, status } => {
            assert_eq!(kind, "#account");
            assert_eq!(message["active"], Ipld::Bool(*active));
            let found = oracle::optional_text(message, "status");
            assert_eq!(found.as_deref(), *status);
        }
        SimEvent::Identity { handle } => {
            assert_eq!(kind, "#identity");
            assert_eq!(oracle::optional_text(message, "handle"), *handle);
        }
        SimEvent::Sync { rev, commit } => {
            assert_eq!(kind, "#sync");
            assert_eq!(oracle::text(message, "rev"), *rev);
            let (root, blocks) = oracle::car(oracle::bytes(message, "blocks"));
            assert_eq!(root.to_string(), commit.to_string());
            assert_eq!(blocks.len(), 1);
            let object = oracle::signed_commit(&blocks[0].1, document);
            assert_eq!(oracle::text(&object, "rev"), *rev);
        }
        other => panic!("{other:?}"),
    }
}
