//! Changes to a tree, one at a time.

use jetwash_mst::{InvalidKey, MAX_KEY_BYTES, Tree};

use crate::{node_cids, record, tree_of};

#[test]
fn an_empty_tree_has_the_known_root() {
    let root = "bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm";
    assert_eq!(Tree::new().root().to_string(), root);
    assert_eq!(Tree::new().nodes().len(), 1);
}

#[test]
fn keys_must_be_neither_empty_nor_too_long() {
    let mut tree = tree_of(["a/1"], record(0));
    let before = tree.root();
    assert_eq!(tree.insert(b"", record(1)), Err(InvalidKey { length: 0 }));
    let long = vec![b'a'; MAX_KEY_BYTES + 1];
    assert!(tree.insert(&long, record(1)).is_err());
    assert_eq!(tree.root(), before);
    assert_eq!(tree.insert(&long[1..], record(1)), Ok(None));
}

#[test]
fn a_clone_is_not_changed_by_what_follows() {
    let before = tree_of(["a/1", "a/2", "b/1"], record(0));
    let root = before.root();
    let mut after = before.clone();
    after.insert(b"a/3", record(1)).unwrap();
    after.insert(b"b/1", record(1)).unwrap();
    after.remove(b"a/1");
    assert_ne!(after.root(), root);
    assert_eq!(before.root(), root);
    assert_eq!(before.get(b"b/1"), Some(&record(0)));
}

#[test]
fn a_change_undone_leaves_nothing_new() {
    let before = tree_of(["a/1", "a/2", "b/1"], record(0));
    let mut after = before.clone();
    after.insert(b"a/3", record(1)).unwrap();
    after.insert(b"a/1", record(2)).unwrap();
    assert_eq!(after.insert(b"a/1", record(0)), Ok(Some(record(2))));
    assert_eq!(after.remove(b"a/3"), Some(record(1)));
    assert_eq!(after.remove(b"a/3"), None);
    assert!(after.new_nodes(&before).is_empty());
}

#[test]
fn neighbours_are_the_keys_next_to_it() {
    let names: Vec<String> = (0..300).map(|number| format!("a/{number:03}")).collect();
    let tree = tree_of(names.iter().map(String::as_str), record(0));
    for (number, name) in names.iter().enumerate() {
        let before = number.checked_sub(1).map(|before| names[before].as_bytes());
        let after = names.get(number + 1).map(String::as_bytes);
        assert_eq!(tree.neighbours(name.as_bytes()), (before, after));
        let absent = format!("{name}x");
        let expected = (Some(name.as_bytes()), after);
        assert_eq!(tree.neighbours(absent.as_bytes()), expected);
    }
    assert_eq!(Tree::new().neighbours(b"a"), (None, None));
}

#[test]
fn all_nodes_of_a_tree_are_new_to_an_empty_one() {
    let names: Vec<String> = (0..300).map(|number| format!("a/{number:03}")).collect();
    let tree = tree_of(names.iter().map(String::as_str), record(0));
    assert_eq!(
        node_cids(&tree.new_nodes(&Tree::new())),
        node_cids(&tree.nodes())
    );
    assert_eq!(Tree::new().new_nodes(&tree).len(), 1);
}
