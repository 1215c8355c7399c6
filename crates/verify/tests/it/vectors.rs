//! Covering proofs and signed commits of the reference implementation.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jetwash_cbor::{CborWriter, Cid};
use jetwash_corpus::corpus;
use jetwash_frame::{Action, Car};
use jetwash_mst::{BlockIndex, BlockSource, CommitObject, Tree, Walk};
use jetwash_verify::{Proof, PublicKey, Reason, Verifier};
use serde_json::Value;

use crate::parts::{Op, car, ops_of, shuffled};

#[test]
fn the_commit_proofs_of_the_interop_fixtures_invert() {
    let Some(corpus) = corpus("interop commit proofs") else {
        return;
    };
    let fixtures = corpus.json("atproto-interop-tests/firehose/commit-proof-fixtures.json");
    let fixtures = fixtures.as_array().unwrap();
    assert_eq!(fixtures.len(), 6);
    for fixture in fixtures {
        let value = cid(&fixture["leafValue"]);
        let mut after = Tree::new();
        let mut ops = Vec::new();
        for key in texts(&fixture["keys"]).chain(texts(&fixture["adds"])) {
            after.insert(key.as_bytes(), value).unwrap();
        }
        for key in texts(&fixture["dels"]) {
            after.remove(key.as_bytes()).unwrap();
            ops.push(op(key, None, Some(value)));
        }
        ops.extend(texts(&fixture["adds"]).map(|key| op(key, Some(value), None)));
        let roots = ["rootBeforeCommit", "rootAfterCommit"].map(|name| cid(&fixture[name]));
        check(&after, texts(&fixture["blocksInProof"]), &ops, roots);
    }
}

#[test]
fn the_commits_of_the_reference_implementation_invert() {
    let Some(corpus) = corpus("commit vectors") else {
        return;
    };
    let vectors = corpus.json("repo-proofs/commit_vectors.json");
    let mut checked = 0;
    for commit in vectors["commits"].as_array().unwrap() {
        let expect = &commit["expect"];
        // Some are of writes that the reference refuses.
        if expect["dataAfter"].is_null() {
            continue;
        }
        let file = STANDARD.decode(commit["car"].as_str().unwrap()).unwrap();
        let file = Car::parse(&file).unwrap();
        let index = BlockIndex::from_car(&file).unwrap();
        let object = index.block(&file.root().try_into().unwrap()).unwrap();
        let mut after = Tree::new();
        for entry in Walk::new(&index, CommitObject::decode(object).unwrap().data) {
            let entry = entry.unwrap();
            let value = Cid::try_from(entry.cid).unwrap();
            after.insert(&entry.key, value).unwrap();
        }
        let ops = expect["ops"].as_array().unwrap().iter().map(|value| {
            let field = |name: &str| value[name].as_str().map(|cid| cid.parse().unwrap());
            op(value["key"].as_str().unwrap(), field("cid"), field("prev"))
        });
        let ops: Vec<Op> = ops.collect();
        for op in &ops {
            match op.cid {
                Some(cid) => after.insert(op.path.as_bytes(), cid).unwrap(),
                None => after.remove(op.path.as_bytes()),
            };
        }
        let roots = [cid(&commit["dataBefore"]), cid(&expect["dataAfter"])];
        check(&after, texts(&expect["relevantBlocks"]), &ops, roots);
        checked += 1;
    }
    // Of 23, three are of writes that the reference refuses.
    assert_eq!(checked, 20);
}

/// The reference signs with P-256, and its proofs name the key that they are to be checked with.
#[test]
fn the_signatures_of_the_reference_implementation_are_told_from_others() {
    let Some(corpus) = corpus("signed proofs") else {
        return;
    };
    let vectors = corpus.json("repo-proofs/commit_vectors.json");
    let (mut good, mut bad) = (0, 0);
    for proof in vectors["multiProofs"].as_array().unwrap() {
        let file = STANDARD.decode(proof["proof"].as_str().unwrap()).unwrap();
        let file = Car::parse(&file).unwrap();
        let block = file.find(file.root()).unwrap().unwrap();
        let object = CommitObject::decode(block.data).unwrap();
        let mut unsigned = CborWriter::new();
        unsigned.map(5).text("did").text(object.did);
        unsigned.text("rev").text(object.rev);
        unsigned.text("data").link(&object.data);
        unsigned.text("prev").null().text("version").unsigned(3);
        let key = PublicKey::from_did_key(proof["signingKey"].as_str().unwrap()).unwrap();
        let verified = key.verify(&unsigned.into_bytes(), object.sig).is_ok();
        let is_wrong = proof["name"].as_str().unwrap().ends_with("wrong_key");
        assert_eq!(verified, !is_wrong, "{}", proof["name"]);
        *(if verified { &mut good } else { &mut bad }) += 1;
    }
    assert_eq!((good, bad), (32, 16));
}

/// Undoes operations over the named nodes of a tree, in several orders, and with each left out.
fn check<'a>(
    after: &Tree,
    blocks: impl Iterator<Item = &'a str>,
    ops: &[Op],
    [before, root]: [Cid; 2],
) {
    assert_eq!(after.root(), root);
    let nodes: HashMap<Cid, &[u8]> = after.nodes().iter().map(|n| (n.cid, n.bytes)).collect();
    // Records are among them, and are of no matter here.
    let blocks = blocks.filter_map(|cid| {
        let cid: Cid = cid.parse().unwrap();
        nodes.get(&cid).map(|node| (cid, node.to_vec()))
    });
    let slice = car(&root, &blocks.collect::<Vec<_>>());
    let mut verifier = Verifier::new();
    for seed in 0..6 {
        let ops = shuffled(ops, seed);
        let proof = verifier.invert(&slice, &root, &ops_of(&ops), Some(&before));
        assert_eq!(proof, Ok(Proof::Complete), "{seed} {ops:?}");
    }
    for left_out in 0..ops.len() {
        let mut ops = ops.to_vec();
        ops.remove(left_out);
        let proof = verifier.invert(&slice, &root, &ops_of(&ops), Some(&before));
        let is_refused = matches!(proof, Err(Reason::RootMismatch) | Ok(Proof::Insufficient));
        assert!(is_refused, "{proof:?}");
    }
}

fn op(path: &str, cid: Option<Cid>, prev: Option<Cid>) -> Op {
    Op {
        action: match (&prev, &cid) {
            (None, _) => Action::Create,
            (_, None) => Action::Delete,
            _ => Action::Update,
        },
        path: path.to_owned(),
        cid,
        prev,
    }
}

fn cid(value: &Value) -> Cid {
    value.as_str().unwrap().parse().unwrap()
}

fn texts(value: &Value) -> impl Iterator<Item = &str> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|text| text.as_str().unwrap())
}
