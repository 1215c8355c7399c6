//! Covering proofs and commits, against the vectors of the reference implementation.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jetwash_cbor::{CborReader, Cid};
use jetwash_corpus::corpus;
use jetwash_frame::Car;
use jetwash_mst::{BlockIndex, BlockSource, Tree};
use serde_json::Value;

use crate::{cid, cids, keys, load, node_cids, tree_of};

#[test]
fn covering_proofs_are_those_of_the_interop_fixtures() {
    let Some(corpus) = corpus("covering_proofs_are_those_of_the_interop_fixtures") else {
        return;
    };
    let fixtures = corpus.json("atproto-interop-tests/firehose/commit-proof-fixtures.json");
    let fixtures = fixtures.as_array().unwrap();
    assert_eq!(fixtures.len(), 6);
    for fixture in fixtures {
        let comment = &fixture["comment"];
        let (adds, dels) = (keys(&fixture["adds"]), keys(&fixture["dels"]));
        let before = tree_of(keys(&fixture["keys"]), cid(&fixture["leafValue"]));
        assert_eq!(
            before.root(),
            cid(&fixture["rootBeforeCommit"]),
            "{comment}"
        );

        let mut after = before.clone();
        for key in &adds {
            after
                .insert(key.as_bytes(), cid(&fixture["leafValue"]))
                .unwrap();
        }
        for key in &dels {
            assert!(after.remove(key.as_bytes()).is_some());
        }
        assert_eq!(after.root(), cid(&fixture["rootAfterCommit"]), "{comment}");

        let changed = adds.iter().chain(&dels).map(|key| key.as_bytes());
        let proof = after.covering_proof(changed);
        assert_eq!(
            node_cids(&proof),
            cids(&fixture["blocksInProof"]),
            "{comment}"
        );
    }
}

#[test]
fn covering_proofs_are_those_of_the_reference_for_any_key() {
    let Some(corpus) = corpus("covering_proofs_are_those_of_the_reference_for_any_key") else {
        return;
    };
    let vectors = corpus.json("repo-proofs/commit_vectors.json");
    let mut probes = 0;
    for tree in vectors["coveringProofs"].as_array().unwrap() {
        let name = &tree["name"];
        let built = tree_of(keys(&tree["keys"]), cid(&vectors["leaf"]));
        assert_eq!(built.root(), cid(&tree["root"]), "{name}");
        for probe in tree["probes"].as_array().unwrap() {
            let key = probe["key"].as_str().unwrap();
            let proof = built.covering_proof([key.as_bytes()]);
            assert_eq!(node_cids(&proof), cids(&probe["proof"]), "{name}: {key}");
            probes += 1;
        }
    }
    assert!(probes > 300, "{probes} probes");
}

#[test]
fn commits_make_and_carry_the_blocks_of_the_reference() {
    let Some(corpus) = corpus("commits_make_and_carry_the_blocks_of_the_reference") else {
        return;
    };
    let vectors = corpus.json("repo-proofs/commit_vectors.json");
    let mut checked = 0;
    for commit in vectors["commits"].as_array().unwrap() {
        let expect = &commit["expect"];
        if expect["dataAfter"].is_null() {
            continue;
        }
        let car = STANDARD.decode(commit["car"].as_str().unwrap()).unwrap();
        check_commit(&car, commit, expect);
        checked += 1;
    }
    assert!(checked >= 20, "{checked} commits");
}

fn check_commit(car: &[u8], commit: &Value, expect: &Value) {
    let name = &commit["name"];
    let car = Car::parse(car).unwrap();
    let index = BlockIndex::from_car(&car).unwrap();
    let before = load(&index, data_of(&index, car.root().try_into().unwrap()));
    assert_eq!(before.root(), cid(&commit["dataBefore"]), "{name}");

    let mut after = before.clone();
    let ops = expect["ops"].as_array().unwrap();
    for op in ops {
        apply(&mut after, op);
    }
    assert_eq!(after.root(), cid(&expect["dataAfter"]), "{name}");

    let records = ops
        .iter()
        .filter(|op| !op["cid"].is_null())
        .map(|op| cid(&op["cid"]));
    let mut new: BTreeSet<Cid> = records.collect();
    new.extend(node_cids(&after.new_nodes(&before)));
    assert_eq!(new, cids(&expect["newBlocks"]), "{name}");
    let removed = node_cids(&before.new_nodes(&after));
    assert_eq!(removed, cids(&expect["removedMst"]), "{name}");

    // Also for what came and went within the commit.
    let writes = commit["writes"].as_array().unwrap().iter();
    let paths = writes.map(|write| write["key"].as_str().unwrap().as_bytes());
    new.extend(node_cids(&after.covering_proof(paths)));
    assert_eq!(new, cids(&expect["relevantBlocks"]), "{name}");
}

fn apply(tree: &mut Tree, op: &Value) {
    let key = op["key"].as_str().unwrap().as_bytes();
    let before = (!op["prev"].is_null()).then(|| cid(&op["prev"]));
    let was = match op["cid"].as_str() {
        Some(value) => tree.insert(key, value.parse().unwrap()).unwrap(),
        None => tree.remove(key),
    };
    assert_eq!(was, before, "{op}");
}

/// The tree that a commit names.
pub(crate) fn data_of(index: &BlockIndex<'_>, commit: Cid) -> Cid {
    let mut reader = CborReader::new(index.block(&commit).unwrap());
    let mut map = reader.map().unwrap();
    while let Some(key) = map.next_key(&mut reader).unwrap() {
        if key == "data" {
            return reader.link().unwrap().try_into().unwrap();
        }
        reader.skip().unwrap();
    }
    panic!("a commit without data");
}
