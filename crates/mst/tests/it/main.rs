//! The behaviour of the tree, against recorded vectors, real repositories and a plain sorted map.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod heights;
mod leaves;
mod nodes;
mod parts;
mod proofs;
mod random;
mod repos;
mod structure;
mod suite;
mod trees;
mod vectors;

use std::collections::BTreeSet;

use jetwash_cbor::{Cid, Codec};
use jetwash_mst::{BlockIndex, NodeBlock, Tree, Walk};
use serde_json::Value;

/// A record CID of its own for each number.
fn record(number: u64) -> Cid {
    Cid::of(Codec::DagCbor, &number.to_be_bytes())
}

fn cid(value: &Value) -> Cid {
    value.as_str().unwrap().parse().unwrap()
}

fn cids(value: &Value) -> BTreeSet<Cid> {
    value.as_array().unwrap().iter().map(cid).collect()
}

fn keys(value: &Value) -> Vec<&str> {
    let keys = value.as_array().unwrap().iter();
    keys.map(|key| key.as_str().unwrap()).collect()
}

fn node_cids(nodes: &[NodeBlock<'_>]) -> BTreeSet<Cid> {
    let set: BTreeSet<Cid> = nodes.iter().map(|node| node.cid).collect();
    assert_eq!(set.len(), nodes.len(), "a node twice");
    set
}

/// A tree with the same record at each key.
fn tree_of<'k>(keys: impl IntoIterator<Item = &'k str>, value: Cid) -> Tree {
    let mut tree = Tree::new();
    for key in keys {
        tree.insert(key.as_bytes(), value).unwrap();
    }
    tree
}

/// The whole tree under a root, put together key by key, with the walk and the root both checked.
fn load(index: &BlockIndex<'_>, root: Cid) -> Tree {
    let mut tree = Tree::new();
    for entry in Walk::new(index, root) {
        let entry = entry.unwrap();
        let value = Cid::try_from(entry.cid).unwrap();
        assert_eq!(tree.insert(&entry.key, value), Ok(None));
    }
    assert_eq!(tree.root(), root);
    tree
}
