//! The operations between every two of 128 small trees of all shapes, undone over the fewest nodes
//! that allow it.

use std::collections::HashMap;
use std::io::Read;

use jetwash_cbor::Cid;
use jetwash_corpus::{Corpus, corpus};
use jetwash_frame::{Action, Car};
use jetwash_verify::{Proof, Reason, Verifier};
use serde_json::Value;

use crate::parts::{Op, car, ops_of, shuffled};

#[test]
fn every_case_of_the_test_suite_inverts_in_any_order_and_none_without_an_operation() {
    let Some(corpus) = corpus("the MST test suite") else {
        return;
    };
    let trees = trees(&corpus);
    let nodes: HashMap<Cid, Vec<u8>> = trees.values().flat_map(|tree| tree.1.clone()).collect();
    let cases = corpus.json_lines("mst-test-suite/mst-diff-even.jsonl.zst");
    assert_eq!(cases.len(), 8192);
    let mut verifier = Verifier::new();
    let mut dropped = 0;
    for case in &cases {
        let name = &case["name"];
        let side = |side: &str| {
            let path = case["inputs"][side].as_str().unwrap();
            &trees[path.trim_start_matches("./")].0
        };
        let (before, after) = (side("mst_a"), side("mst_b"));
        let proof = case["results"]["inductive_proof_nodes"].as_array().unwrap();
        let blocks = proof.iter().map(|cid| {
            let cid: Cid = cid.as_str().unwrap().parse().unwrap();
            (cid, nodes[&cid].clone())
        });
        let slice = car(after, &blocks.collect::<Vec<_>>());
        let ops = ops(&case["results"]["record_ops"]);
        for seed in 0..4 {
            let ops = shuffled(&ops, seed);
            let ops = ops_of(&ops);
            let proof = verifier.invert(&slice, after, &ops, Some(before));
            assert_eq!(proof, Ok(Proof::Complete), "{name} {seed}");
        }
        for left_out in 0..ops.len() {
            let mut ops = ops.clone();
            ops.remove(left_out);
            let ops = ops_of(&ops);
            let proof = verifier.invert(&slice, after, &ops, Some(before));
            let is_refused = matches!(proof, Err(Reason::RootMismatch) | Ok(Proof::Insufficient));
            assert!(is_refused, "{name} without {left_out}: {proof:?}");
            dropped += 1;
        }
    }
    assert!(dropped > 20_000, "{dropped}");
}

/// With all nodes of the tree at hand, leaving an operation out is always a contradiction.
#[test]
fn with_the_whole_tree_nothing_is_left_open() {
    let Some(corpus) = corpus("whole trees of the MST test suite") else {
        return;
    };
    let trees = trees(&corpus);
    let cases = corpus.json_lines("mst-test-suite/mst-diff-even.jsonl.zst");
    let mut verifier = Verifier::new();
    for case in cases.iter().step_by(7) {
        let side = |side: &str| {
            let path = case["inputs"][side].as_str().unwrap();
            &trees[path.trim_start_matches("./")]
        };
        let ((before, _), (after, nodes)) = (side("mst_a"), side("mst_b"));
        let slice = car(after, nodes);
        let ops = ops(&case["results"]["record_ops"]);
        let proof = verifier.invert(&slice, after, &ops_of(&ops), Some(before));
        assert_eq!(proof, Ok(Proof::Complete));
        for left_out in 0..ops.len() {
            let mut ops = ops.clone();
            ops.remove(left_out);
            let proof = verifier.invert(&slice, after, &ops_of(&ops), Some(before));
            assert_eq!(proof, Err(Reason::RootMismatch));
        }
    }
}

fn ops(value: &Value) -> Vec<Op> {
    let ops = value.as_array().unwrap().iter();
    ops.map(|op| {
        let cid = |name: &str| op[name].as_str().map(|cid| cid.parse::<Cid>().unwrap());
        let (prev, cid) = (cid("old_value"), cid("new_value"));
        let action = match (&prev, &cid) {
            (None, _) => Action::Create,
            (_, None) => Action::Delete,
            _ => Action::Update,
        };
        Op {
            action,
            path: op["rpath"].as_str().unwrap().to_owned(),
            cid,
            prev,
        }
    })
    .collect()
}

/// A root, and the nodes of the tree below it.
type Tree = (Cid, Vec<(Cid, Vec<u8>)>);

/// The trees by file name.
fn trees(corpus: &Corpus) -> HashMap<String, Tree> {
    let archive = corpus.bytes("mst-test-suite/cars.tar.zst");
    let mut trees = HashMap::new();
    for file in tar::Archive::new(&archive[..]).entries().unwrap() {
        let mut file = file.unwrap();
        let name = file.path().unwrap().display().to_string();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        if name.ends_with(".car") {
            let car = Car::parse(&bytes).unwrap();
            let blocks = car.blocks().map(|block| {
                let block = block.unwrap();
                (block.verify().unwrap(), block.data.to_vec())
            });
            let root = Cid::try_from(car.root()).unwrap();
            trees.insert(name, (root, blocks.collect()));
        }
    }
    assert_eq!(trees.len(), 128);
    trees
}
