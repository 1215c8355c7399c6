//! The diffs of the MST test suite: every pair of 128 small trees of all shapes.

use std::collections::HashMap;
use std::io::Read;

use jetwash_cbor::Cid;
use jetwash_corpus::{Corpus, corpus};
use jetwash_frame::Car;
use jetwash_mst::{BlockIndex, Tree};

use crate::{cid, cids, load, node_cids};

#[test]
fn diffs_are_those_of_the_test_suite() {
    let Some(corpus) = corpus("diffs_are_those_of_the_test_suite") else {
        return;
    };
    let trees = trees(&corpus);
    assert_eq!(trees.len(), 128);
    let cases = corpus.json_lines("mst-test-suite/mst-diff-even.jsonl.zst");
    assert_eq!(cases.len(), 8192);
    for case in &cases {
        let name = &case["name"];
        let [before, after] = ["mst_a", "mst_b"].map(|side| {
            let path = case["inputs"][side].as_str().unwrap();
            &trees[path.trim_start_matches("./")]
        });
        let results = &case["results"];
        let mut changed = before.clone();
        let mut paths = Vec::new();
        for op in results["record_ops"].as_array().unwrap() {
            let key = op["rpath"].as_str().unwrap().as_bytes();
            match op["new_value"].as_str() {
                Some(value) => changed.insert(key, value.parse().unwrap()).unwrap(),
                None => changed.remove(key),
            };
            paths.push(key);
        }
        assert_eq!(changed.root(), after.root(), "{name}");
        assert_eq!(
            node_cids(&changed.new_nodes(before)),
            cids(&results["created_nodes"]),
            "{name}"
        );
        assert_eq!(
            node_cids(&before.new_nodes(&changed)),
            cids(&results["deleted_nodes"]),
            "{name}"
        );
        // The suite's proofs hold no more than is needed, so ours may hold more but never less.
        let mut proof = node_cids(&changed.covering_proof(paths));
        proof.extend(node_cids(&changed.new_nodes(before)));
        for kind in ["proof_nodes", "inductive_proof_nodes"] {
            let needed = cids(&results[kind]);
            assert!(proof.is_superset(&needed), "{name}: {kind}");
        }
    }
}

#[test]
fn keys_in_any_order_give_the_trees_of_the_test_suite() {
    let Some(corpus) = corpus("keys_in_any_order_give_the_trees_of_the_test_suite") else {
        return;
    };
    for (name, tree) in trees(&corpus) {
        let mut entries: Vec<(&[u8], &Cid)> = tree.iter().collect();
        for _ in 0..entries.len() {
            entries.rotate_left(1);
            let mut again = Tree::new();
            for (key, value) in &entries {
                again.insert(key, **value).unwrap();
            }
            assert_eq!(again.root(), tree.root(), "{name}");
        }
    }
}

/// The trees by file name, each walked and put together again.
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
            let index = BlockIndex::from_car(&car).unwrap();
            assert_eq!(index.rejected(), 0);
            let root = cid(&car.root().to_string().into());
            trees.insert(name, load(&index, root));
        }
    }
    trees
}
