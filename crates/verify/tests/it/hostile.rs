//! Trees that no correct writer makes, in slices whose hashes are all right.

use std::collections::BTreeMap;

use jetwash_cbor::{Cid, Codec};
use jetwash_event::Micros;
use jetwash_frame::{Action, Frame};
use jetwash_mst::{Node, key_height, write_node};
use jetwash_verify::{Known, KnownKey, Outcome, Proof, Reason, Verdict, Verifier};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::RECORDED_US;
use crate::parts::{Op, car, ops_of};
use crate::scene::{self, Scene};

/// Nodes put together bottom up.
#[derive(Default)]
struct Blocks(Vec<(Cid, Vec<u8>)>);

impl Blocks {
    fn put(&mut self, bytes: Vec<u8>) -> Cid {
        let cid = Cid::of(Codec::DagCbor, &bytes);
        self.0.push((cid, bytes));
        cid
    }

    fn node(&mut self, left: Option<Cid>, entries: &[(&str, Option<Cid>)]) -> Cid {
        let entries: Vec<_> = entries
            .iter()
            .map(|(key, right)| (key.as_bytes(), value(), *right))
            .collect();
        self.put(write_node(left, entries))
    }

    /// Undoes the update of a key in the tree below `root`.
    fn invert(&self, root: Cid, key: &str) -> Result<Proof, Reason> {
        let op = Op {
            action: Action::Update,
            path: key.to_owned(),
            cid: Some(value()),
            prev: Some(Cid::of(Codec::DagCbor, b"before")),
        };
        let slice = car(&root, &self.0);
        Verifier::new().invert(&slice, &root, &ops_of(&[op]), None)
    }
}

fn value() -> Cid {
    Cid::of(Codec::DagCbor, b"a record")
}

/// The first keys of that height that start with `start`, in order.
fn keys(start: &str, height: u8, count: usize) -> Vec<String> {
    let keys = (0..).map(|number| format!("{start}{number:08}"));
    keys.filter(|key| key_height(key.as_bytes()) == height)
        .take(count)
        .collect()
}

fn key(start: &str, height: u8) -> String {
    keys(start, height, 1).remove(0)
}

#[test]
fn a_tree_that_keeps_the_rules_is_accepted() {
    let mut blocks = Blocks::default();
    let (low, mid, high) = (key("a/", 0), key("b/", 1), key("c/", 3));
    let left = blocks.node(None, &[(&low, None)]);
    let middle = blocks.node(Some(left), &[(&mid, None)]);
    let chain = blocks.node(Some(middle), &[]);
    let root = blocks.node(Some(chain), &[(&high, None)]);
    for key in [&low, &mid, &high] {
        assert_eq!(blocks.invert(root, key), Ok(Proof::Legacy));
    }
}

#[test]
fn a_node_whose_keys_are_of_another_height_is_refused() {
    let (low, mid, high) = (key("a/", 0), key("b/", 1), key("c/", 2));
    let mut blocks = Blocks::default();
    let mixed = blocks.node(None, &[(&low, None), (&mid, None)]);
    assert_eq!(blocks.invert(mixed, &low), Err(Reason::Tree));

    // A child two levels lower, with no node in between.
    let mut blocks = Blocks::default();
    let left = blocks.node(None, &[(&low, None)]);
    let root = blocks.node(Some(left), &[(&high, None)]);
    assert_eq!(blocks.invert(root, &high), Err(Reason::Tree));

    // A child that is as high as its parent.
    let mut blocks = Blocks::default();
    let left = blocks.node(None, &[(&mid, None)]);
    let root = blocks.node(Some(left), &[(&key("c/", 1), None)]);
    assert_eq!(blocks.invert(root, &mid), Err(Reason::Tree));
}

#[test]
fn a_node_of_height_0_has_no_child() {
    let low = key("b/", 0);
    let mut blocks = Blocks::default();
    let root = blocks.node(Some(value()), &[(&low, None)]);
    assert_eq!(blocks.invert(root, &low), Err(Reason::Tree));
    let mut blocks = Blocks::default();
    let root = blocks.node(None, &[(&low, Some(value()))]);
    assert_eq!(blocks.invert(root, &low), Err(Reason::Tree));
    // A chain of nodes without keys that ends below height 0.
    let high = key("c/", 2);
    let mut blocks = Blocks::default();
    let mut child = value();
    for _ in 0..2 {
        child = blocks.node(Some(child), &[]);
    }
    let root = blocks.node(Some(child), &[(&high, None)]);
    assert_eq!(blocks.invert(root, &high), Err(Reason::Tree));
}

#[test]
fn keys_lie_between_those_around_their_node() {
    let (low, high) = (key("a/", 0), key("b/", 1));
    let mut blocks = Blocks::default();
    let child = blocks.node(None, &[(&low, None)]);
    let root = blocks.node(None, &[(&high, Some(child))]);
    assert_eq!(blocks.invert(root, &high), Err(Reason::Tree));
    let mut blocks = Blocks::default();
    let child = blocks.node(None, &[(&key("c/", 0), None)]);
    let root = blocks.node(Some(child), &[(&high, None)]);
    assert_eq!(blocks.invert(root, &high), Err(Reason::Tree));
}

#[test]
fn nodes_without_keys_are_neither_roots_nor_empty() {
    let (low, high) = (key("a/", 0), key("b/", 2));
    let mut blocks = Blocks::default();
    let left = blocks.node(None, &[(&low, None)]);
    let root = blocks.node(Some(left), &[]);
    assert_eq!(blocks.invert(root, &low), Err(Reason::Tree));
    let mut blocks = Blocks::default();
    let empty = blocks.node(None, &[]);
    let root = blocks.node(Some(empty), &[(&high, None)]);
    assert_eq!(blocks.invert(root, &high), Err(Reason::Tree));
    // As the whole tree it is right, and holds no key.
    assert_eq!(blocks.invert(empty, &high), Err(Reason::OpMismatch));
}

#[test]
fn a_node_has_keys_of_bounded_length_and_number() {
    let mut blocks = Blocks::default();
    let long = key(&"x".repeat(1017), 0);
    assert_eq!(long.len(), 1025);
    let root = blocks.node(None, &[(&long, None)]);
    assert_eq!(blocks.invert(root, &long), Err(Reason::Tree));
    let longest = key(&"x".repeat(1016), 0);
    let root = blocks.node(None, &[(&longest, None)]);
    assert_eq!(blocks.invert(root, &longest), Ok(Proof::Legacy));
    let many = keys("a/", 0, 1025);
    let entries: Vec<_> = many.iter().map(|key| (&key[..], None)).collect();
    let root = blocks.node(None, &entries[..1024]);
    assert_eq!(blocks.invert(root, &many[0]), Ok(Proof::Legacy));
    let root = blocks.node(None, &entries);
    assert_eq!(blocks.invert(root, &many[0]), Err(Reason::Tree));
}

/// DAG-CBOR allows the shortest form of a length only.
#[test]
fn a_length_that_is_written_longer_than_it_must_be_is_refused() {
    let key = key("a/", 0);
    let bytes = write_node(None, [(key.as_bytes(), value(), None)]);
    // A map of two, the key `e`, and an array of one.
    assert_eq!(bytes[..4], *b"\xa2\x61e\x81");
    for (head, expected) in [
        (&b"\x81"[..], Ok(Proof::Legacy)),
        (b"\x98\x01", Err(Reason::Tree)),
        (b"\x99\0\x01", Err(Reason::Tree)),
    ] {
        let mut blocks = Blocks::default();
        let root = blocks.put([&bytes[..3], head, &bytes[4..]].concat());
        assert_eq!(blocks.invert(root, &key), expected, "{head:02x?}");
    }
}

/// A subtree is left that is not known. It may have no key of its own, and then is not the root that
/// there was, but leads to it.
#[test]
fn a_root_that_is_not_known_is_no_contradiction() {
    let (low, high) = (key("a/", 0), key("b/", 2));
    let mut blocks = Blocks::default();
    let before = blocks.node(None, &[(&low, None)]);
    let chain = blocks.node(Some(before), &[]);
    let root = blocks.node(Some(chain), &[(&high, None)]);
    let create = Op {
        action: Action::Create,
        path: high,
        cid: Some(value()),
        prev: None,
    };
    let ops = ops_of(std::slice::from_ref(&create));
    let invert = |without: &[Cid], before: &Cid| {
        let blocks = blocks.0.iter().filter(|(cid, _)| !without.contains(cid));
        let slice = car(&root, &blocks.cloned().collect::<Vec<_>>());
        Verifier::new().invert(&slice, &root, &ops, Some(before))
    };
    for without in [&[][..], &[before]] {
        assert_eq!(invert(without, &before), Ok(Proof::Complete));
        // A node of height 0 has keys, so it is the root, and no other is.
        assert_eq!(invert(without, &value()), Err(Reason::RootMismatch));
    }
    assert_eq!(invert(&[before, chain], &before), Ok(Proof::Insufficient));
    assert_eq!(invert(&[before, chain], &chain), Ok(Proof::Complete));
}

/// Without a bound, each level would double the work.
#[test]
fn a_node_that_is_linked_twice_costs_the_commit_and_no_time() {
    let tops = keys("b/", 8, 2);
    let mut blocks = Blocks::default();
    let mut child = value();
    for _ in 0..7 {
        child = blocks.node(Some(child), &[]);
    }
    let root = blocks.node(Some(child), &[(&tops[0], Some(child))]);
    assert_eq!(blocks.invert(root, &tops[0]), Err(Reason::Tree));
    // Once it is a chain like any other.
    let root = blocks.node(Some(child), &[(&tops[0], None)]);
    assert_eq!(blocks.invert(root, &tops[0]), Ok(Proof::Legacy));
}

/// A tree of 20,000 keys, of which 200 change: nearly as large as a slice can hold.
#[test]
fn the_largest_commit_is_verified() {
    let mut choices = vec![4_u8; 20_000];
    (0..200).for_each(|number| choices[number * 99] = (number % 3) as u8);
    let mut scene = Scene::new(&choices);
    assert_eq!(scene.ops.len(), 200);
    let few = scene.nodes.clone();
    let nodes = scene.tree.nodes();
    let nodes = nodes.iter().map(|node| (node.cid, node.bytes.to_vec()));
    let nodes: BTreeMap<_, _> = nodes.collect();
    assert!(nodes.len() > 2 * few.len());
    for nodes in [few, nodes] {
        scene.nodes = nodes;
        let bytes = scene.frame();
        let frame = Frame::decode(&bytes).unwrap_or_else(|error| panic!("{error}"));
        let key = scene::key();
        let known = Known {
            key: KnownKey::Fresh(&key),
            ..Known::default()
        };
        let outcome = Verifier::new().verify(&frame, &known, Micros::new(RECORDED_US));
        assert_eq!(outcome.verdict(), Some(Verdict::Verified));
    }
}

#[test]
fn a_verifier_that_has_seen_anything_judges_the_next_frame_alike() {
    let scenes = [&[4, 0, 4][..], &[2; 100], &[], &[0; 50], &[4, 1, 4, 4]].map(Scene::new);
    let key = scene::key();
    let known = Known {
        key: KnownKey::Fresh(&key),
        ..Known::default()
    };
    let mut used = Verifier::new();
    for left in &scenes {
        for right in &scenes {
            let mut short = left.clone();
            short.nodes.pop_first();
            for scene in [left, &short, right] {
                let bytes = scene.frame();
                let frame = Frame::decode(&bytes).unwrap();
                let outcome: Outcome = used.verify(&frame, &known, Micros::new(RECORDED_US));
                assert_eq!(
                    outcome,
                    Verifier::new().verify(&frame, &known, Micros::new(RECORDED_US))
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..Default::default() })]

    /// Nodes are read by comparing bytes; the reader of the crate below, which goes item by item,
    /// accepts the same.
    #[test]
    fn the_nodes_that_are_accepted_are_those_of_the_general_reader(
        count in 0..5_usize,
        height in 0..3_u8,
        children in any::<[bool; 6]>(),
        flips in prop::collection::vec(any::<(Index, u8)>(), 0..3),
        cut in prop::option::of(any::<Index>()),
    ) {
        let child = |number: usize| {
            let number = number as u8;
            children[usize::from(number)].then(|| Cid::of(Codec::DagCbor, &[number]))
        };
        let keys = keys("app.bsky.feed.like/3mptb", height, count);
        let entries: Vec<_> = keys
            .iter()
            .enumerate()
            .map(|(index, key)| (key.as_bytes(), value(), child(index)))
            .collect();
        let mut bytes = write_node(child(5), entries);
        for (index, bit) in flips {
            let at = index.index(bytes.len());
            bytes[at] ^= 1 << (bit % 8);
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let decoded = Node::decode(&bytes);
        // Of a root, there is one rule more.
        let is_right = decoded.is_ok_and(|node| node.height().is_some() || node.left().is_none());
        let mut blocks = Blocks::default();
        let root = blocks.put(bytes.clone());
        let is_accepted = blocks.invert(root, "zzzz") != Err(Reason::Tree);
        prop_assert_eq!(is_accepted, is_right, "{:02x?}", bytes);
    }
}
