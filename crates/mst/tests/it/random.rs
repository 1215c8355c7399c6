//! Random changes, against a plain sorted map.

use std::collections::{BTreeMap, BTreeSet};

use jetwash_cbor::Cid;
use jetwash_mst::{BlockIndex, Node, Tree, Walk};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::{node_cids, record};

/// A key of a small set, so that the same one is met again; the value 0 to 3 removes it.
fn changes() -> impl Strategy<Value = Vec<(Vec<u8>, u64)>> {
    let key = prop_oneof![
        4 => (0_u16..200).prop_map(|number| format!("a/{number}").into_bytes()),
        1 => vec(any::<u8>(), 1..12),
    ];
    vec((key, 0_u64..12), 0..150)
}

fn apply(tree: &mut Tree, map: &mut BTreeMap<Vec<u8>, Cid>, (key, value): &(Vec<u8>, u64)) {
    if *value < 4 {
        assert_eq!(tree.remove(key), map.remove(key));
    } else {
        let was = tree.insert(key, record(*value)).unwrap();
        assert_eq!(was, map.insert(key.clone(), record(*value)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn changes_leave_the_tree_of_what_remains(changes in changes()) {
        let (mut tree, mut map) = (Tree::new(), BTreeMap::new());
        for change in &changes {
            apply(&mut tree, &mut map, change);
        }
        let entries: Vec<_> = tree.iter().map(|(key, value)| (key.to_vec(), *value)).collect();
        prop_assert_eq!(&entries, &map.clone().into_iter().collect::<Vec<_>>());

        let mut scratch = Tree::new();
        for (key, value) in map.iter().rev() {
            scratch.insert(key, *value).unwrap();
        }
        prop_assert_eq!(tree.root(), scratch.root());
        prop_assert_eq!(node_cids(&tree.nodes()), node_cids(&scratch.nodes()));
    }

    #[test]
    fn walk_yields_the_sorted_map(changes in changes()) {
        let (mut tree, mut map) = (Tree::new(), BTreeMap::new());
        for change in &changes {
            apply(&mut tree, &mut map, change);
        }
        let mut index = BlockIndex::new();
        for node in tree.nodes() {
            prop_assert!(index.insert(node.cid.as_link(), node.bytes));
            prop_assert!(Node::decode(node.bytes).is_ok());
        }
        let walked: Result<Vec<_>, _> = Walk::new(&index, tree.root())
            .map(|step| step.map(|entry| (entry.key, Cid::try_from(entry.cid).unwrap())))
            .collect();
        prop_assert_eq!(walked.unwrap(), map.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn new_nodes_are_the_difference_of_two_trees(first in changes(), second in changes()) {
        let (mut before, mut map) = (Tree::new(), BTreeMap::new());
        for change in &first {
            apply(&mut before, &mut map, change);
        }
        let mut after = before.clone();
        for change in &second {
            apply(&mut after, &mut map, change);
        }
        let (old, new) = (node_cids(&before.nodes()), node_cids(&after.nodes()));
        let added: BTreeSet<Cid> = new.difference(&old).copied().collect();
        let dropped: BTreeSet<Cid> = old.difference(&new).copied().collect();
        prop_assert_eq!(node_cids(&after.new_nodes(&before)), added);
        prop_assert_eq!(node_cids(&before.new_nodes(&after)), dropped);
    }

    #[test]
    fn decoding_never_panics(bytes in vec(any::<u8>(), 0..200), at in any::<usize>(), to in any::<u8>()) {
        let _ = Node::decode(&bytes);
        let names: Vec<_> = (0..40).map(|number| format!("a/{number}")).collect();
        let mut tree = Tree::new();
        for name in &names {
            tree.insert(name.as_bytes(), record(0)).unwrap();
        }
        let mut block = tree.nodes()[0].bytes.to_vec();
        let at = at % block.len();
        block[at] = to;
        let _ = Node::decode(&block);
    }
}
