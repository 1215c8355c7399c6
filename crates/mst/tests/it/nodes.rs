//! Nodes that a correct writer cannot make, each refused for its reason.

use jetwash_cbor::{CborWriter, Cid, Codec};
use jetwash_mst::{
    BlockIndex, MAX_KEY_BYTES, MAX_NODE_ENTRIES, Node, NodeError, Walk, WalkError, key_height,
    write_node,
};

use crate::record;

/// `a` + number: keys of the asked height, in order.
fn keys_of_height(height: u8, count: usize) -> Vec<Vec<u8>> {
    let keys = (0..).map(|number: u32| format!("a/{number:08}").into_bytes());
    keys.filter(|key| key_height(key) == height)
        .take(count)
        .collect()
}

/// A node of whole keys as they are given, each with a prefix length as it is given.
fn node(entries: &[(u64, &[u8])]) -> Vec<u8> {
    let mut writer = CborWriter::new();
    writer.map(2).text("e").array(entries.len());
    for (prefix, suffix) in entries {
        writer
            .map(4)
            .text("k")
            .bytes(suffix)
            .text("p")
            .unsigned(*prefix);
        writer.text("t").null().text("v").link(&record(0));
    }
    writer.text("l").null();
    writer.into_bytes()
}

#[test]
fn the_first_key_may_have_no_prefix() {
    let error = Node::decode(&node(&[(1, b"abc")])).unwrap_err();
    assert_eq!(
        error,
        NodeError::Prefix {
            entry: 0,
            claimed: 1
        }
    );
}

#[test]
fn a_prefix_may_not_exceed_the_key_before() {
    let error = Node::decode(&node(&[(0, b"a/1"), (u64::MAX >> 1, b"x")])).unwrap_err();
    assert!(matches!(error, NodeError::Prefix { entry: 1, .. }));
}

#[test]
fn a_prefix_must_be_as_long_as_it_can_be() {
    let keys = keys_of_height(0, 2);
    let shared = keys[0]
        .iter()
        .zip(&keys[1])
        .take_while(|(a, b)| a == b)
        .count();
    let longest = [(0, &keys[0][..]), (shared as u64, &keys[1][shared..])];
    assert!(Node::decode(&node(&longest)).is_ok());
    let shorter = [
        (0, &keys[0][..]),
        (shared as u64 - 1, &keys[1][shared - 1..]),
    ];
    assert!(matches!(
        Node::decode(&node(&shorter)),
        Err(NodeError::Prefix { entry: 1, .. })
    ));
}

#[test]
fn keys_must_ascend() {
    for entries in [
        &[(0, &b"b"[..]), (0, b"a")][..],
        &[(0, b"abc"), (3, b"")],
        &[(0, b"abc"), (1, b"")],
    ] {
        let error = Node::decode(&node(entries)).unwrap_err();
        assert_eq!(error, NodeError::KeyOrder { entry: 1 });
    }
}

#[test]
fn keys_must_be_neither_empty_nor_too_long() {
    let error = Node::decode(&node(&[(0, b"")])).unwrap_err();
    assert_eq!(
        error,
        NodeError::KeyLength {
            entry: 0,
            length: 0
        }
    );
    let long = vec![b'a'; MAX_KEY_BYTES + 1];
    let error = Node::decode(&node(&[(0, &long)])).unwrap_err();
    let length = MAX_KEY_BYTES + 1;
    assert_eq!(error, NodeError::KeyLength { entry: 0, length });
    assert!(Node::decode(&node(&[(0, &long[1..])])).is_ok());
}

#[test]
fn keys_of_one_node_have_one_height() {
    // The heights are those of the interop vectors: 0 and 1.
    let error = Node::decode(&node(&[(0, b"2653ae71"), (0, b"blue")])).unwrap_err();
    let expected = NodeError::Height {
        entry: 1,
        height: 1,
        expected: 0,
    };
    assert_eq!(error, expected);
}

#[test]
fn height_zero_has_no_children() {
    let child = record(1);
    let left = write_node(Some(child), [(&b"2653ae71"[..], record(0), None)]);
    assert_eq!(Node::decode(&left), Err(NodeError::ChildBelowZero));
    let right = write_node(None, [(&b"2653ae71"[..], record(0), Some(child))]);
    assert_eq!(Node::decode(&right), Err(NodeError::ChildBelowZero));
    let higher = write_node(Some(child), [(&b"blue"[..], record(0), Some(child))]);
    assert_eq!(Node::decode(&higher).unwrap().height(), Some(1));
}

#[test]
fn children_are_dag_cbor() {
    let raw = Cid::of(Codec::Raw, b"");
    let bytes = write_node(Some(raw), [(&b"blue"[..], record(0), None)]);
    assert!(matches!(Node::decode(&bytes), Err(NodeError::Child(_))));
}

#[test]
fn a_record_may_have_a_foreign_cid() {
    // dag-pb under SHA-256, as tag 42 around a zero byte and the CID.
    let mut foreign = vec![0xd8, 0x2a, 0x58, 0x25, 0, 1, 0x70, 0x12, 32];
    foreign.extend([7; 32]);
    let mut writer = CborWriter::new();
    writer.map(2).text("e").array(1);
    writer.map(4).text("k").bytes(b"a").text("p").unsigned(0);
    writer.text("t").null().text("v").raw(&foreign);
    writer.text("l").null();
    let bytes = writer.into_bytes();
    let node = Node::decode(&bytes).unwrap();
    assert_eq!(node.entries()[0].value.as_bytes(), &foreign[5..]);
}

#[test]
fn fields_are_exactly_those_of_a_node() {
    let mut missing = CborWriter::new();
    missing.map(1).text("e").array(0);
    assert!(matches!(
        Node::decode(&missing.into_bytes()),
        Err(NodeError::Field { expected: "l", .. })
    ));
    let mut extra = CborWriter::new();
    extra
        .map(3)
        .text("e")
        .array(0)
        .text("l")
        .null()
        .text("x")
        .null();
    assert!(matches!(
        Node::decode(&extra.into_bytes()),
        Err(NodeError::Field { offset: 7, .. })
    ));
    let mut trailing = write_node(None, []);
    trailing.push(0xf6);
    assert!(matches!(Node::decode(&trailing), Err(NodeError::Cbor(_))));
}

#[test]
fn too_many_entries_are_refused() {
    let keys = keys_of_height(0, MAX_NODE_ENTRIES + 1);
    let bytes = |count: usize| {
        let entries = keys[..count].iter().map(|key| (&key[..], record(0), None));
        write_node(None, entries)
    };
    let most = bytes(MAX_NODE_ENTRIES);
    assert_eq!(
        Node::decode(&most).unwrap().entries().len(),
        MAX_NODE_ENTRIES
    );
    let error = Node::decode(&bytes(MAX_NODE_ENTRIES + 1)).unwrap_err();
    assert_eq!(error, NodeError::TooManyEntries(MAX_NODE_ENTRIES + 1));
}

/// The error that ends a walk over these nodes, of which the last is the root.
fn walk_error(nodes: &[&[u8]]) -> Option<WalkError> {
    let mut index = BlockIndex::new();
    let mut root = record(0);
    for node in nodes {
        root = Cid::of(Codec::DagCbor, node);
        assert!(index.insert(root.as_link(), node));
    }
    let mut walk = Walk::new(&index, root);
    let error = walk.find_map(Result::err);
    assert!(walk.next().is_none());
    error
}

fn cid_of(node: &[u8]) -> Cid {
    Cid::of(Codec::DagCbor, node)
}

#[test]
fn walk_refuses_a_skipped_height() {
    let low = keys_of_height(0, 1);
    let high = b"zz/884976f5-".to_vec();
    let high = (0..)
        .map(|n: u32| [&high[..], n.to_string().as_bytes()].concat())
        .find(|key| key_height(key) == 2)
        .unwrap();
    let leaf = write_node(None, [(&low[0][..], record(0), None)]);
    let root = write_node(Some(cid_of(&leaf)), [(&high[..], record(0), None)]);
    assert_eq!(
        walk_error(&[&leaf, &root]),
        Some(WalkError::Height(cid_of(&leaf)))
    );

    let between = write_node(Some(cid_of(&leaf)), []);
    let root = write_node(Some(cid_of(&between)), [(&high[..], record(0), None)]);
    assert_eq!(walk_error(&[&leaf, &between, &root]), None);
}

#[test]
fn walk_refuses_keys_outside_their_place() {
    let high = &keys_of_height(1, 1)[0];
    let low = keys_of_height(0, 100);
    let below = low.iter().find(|key| *key < high).unwrap();
    let above = low.iter().find(|key| *key > high).unwrap();
    let [below, above] = [below, above].map(|key| write_node(None, [(&key[..], record(0), None)]));
    let [left, right] = [&below, &above].map(|node| Some(cid_of(node)));

    let root = write_node(left, [(&high[..], record(0), right)]);
    assert_eq!(walk_error(&[&below, &above, &root]), None);
    let root = write_node(right, [(&high[..], record(0), None)]);
    assert_eq!(walk_error(&[&above, &root]), right.map(WalkError::Range));
    let root = write_node(None, [(&high[..], record(0), left)]);
    assert_eq!(walk_error(&[&below, &root]), left.map(WalkError::Range));
}

#[test]
fn walk_refuses_a_root_without_keys() {
    let leaf = write_node(None, [(&b"2653ae71"[..], record(0), None)]);
    let root = write_node(Some(cid_of(&leaf)), []);
    assert_eq!(
        walk_error(&[&leaf, &root]),
        Some(WalkError::RootWithoutKeys(cid_of(&root)))
    );
}

#[test]
fn walk_refuses_an_empty_node_below_the_root() {
    let empty = write_node(None, []);
    let root = write_node(Some(cid_of(&empty)), [(&b"blue"[..], record(0), None)]);
    assert_eq!(
        walk_error(&[&empty, &root]),
        Some(WalkError::EmptyNode(cid_of(&empty)))
    );
    assert_eq!(walk_error(&[&empty]), None);
}

#[test]
fn walk_says_which_node_is_no_node() {
    let broken = [0xa0];
    let error = walk_error(&[&broken]).unwrap();
    assert!(matches!(error, WalkError::Node { cid, .. } if cid == cid_of(&broken)));
}
