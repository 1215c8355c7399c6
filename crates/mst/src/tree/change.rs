//! Inserts and removes keys. Nodes that other trees share are copied before they change.

use std::sync::Arc;

use jetwash_cbor::Cid;

use super::tree_node::{TreeEntry, TreeNode};

/// Inserts below a node that is at least as high as the key.
pub(super) fn insert(node: &mut Arc<TreeNode>, entry: TreeEntry, height: u8) -> Option<Cid> {
    let node = TreeNode::edit(node);
    match node.position(&entry.key) {
        Ok(position) => {
            let value = &mut node.entries[position].value;
            Some(std::mem::replace(value, entry.value))
        }
        Err(position) if height == node.height => {
            let slot = node.child_mut(position);
            let (left, right) = split(slot.as_ref(), &entry.key);
            *slot = left;
            node.entries.insert(position, TreeEntry { right, ..entry });
            None
        }
        Err(position) => {
            // A key is never higher than the node here, so the subtraction cannot wrap.
            debug_assert!(height < node.height, "a key above its node");
            let below = node.height - 1;
            match node.child_mut(position) {
                Some(child) => insert(child, entry, height),
                empty => {
                    let leaf = TreeNode::new(height, None, vec![entry]);
                    *empty = Some(raise(leaf, below));
                    None
                }
            }
        }
    }
}

/// Removes a key that is known to be below the node.
pub(super) fn remove(node: &mut Arc<TreeNode>, key: &[u8]) {
    let node = TreeNode::edit(node);
    match node.position(key) {
        Ok(position) => {
            let entry = node.entries.remove(position);
            let slot = node.child_mut(position);
            *slot = merge(slot.as_ref(), entry.right.as_ref());
        }
        Err(position) => {
            let slot = node.child_mut(position);
            if let Some(child) = slot {
                remove(child, key);
                if child.is_empty() {
                    *slot = None;
                }
            }
        }
    }
}

/// Splits a node into the part below `key` and the part above it, both of the same height.
pub(super) fn split(
    node: Option<&Arc<TreeNode>>,
    key: &[u8],
) -> (Option<Arc<TreeNode>>, Option<Arc<TreeNode>>) {
    let Some(node) = node else {
        return (None, None);
    };
    let (Ok(position) | Err(position)) = node.position(key);
    let (below, above) = split(node.child(position), key);
    // A node that lies on one side as a whole is kept, with its block.
    if position == node.entries.len() && above.is_none() {
        return (Some(Arc::clone(node)), None);
    }
    if position == 0 && below.is_none() {
        return (None, Some(Arc::clone(node)));
    }
    let (low, high) = node.entries.split_at(position);
    let mut low = low.to_vec();
    let left = match low.last_mut() {
        Some(last) => {
            last.right = below;
            TreeNode::unless_empty(node.height, node.left.clone(), low)
        }
        None => TreeNode::unless_empty(node.height, below, low),
    };
    let right = TreeNode::unless_empty(node.height, above, high.to_vec());
    (left, right)
}

/// Joins two neighbours of the same height.
fn merge(left: Option<&Arc<TreeNode>>, right: Option<&Arc<TreeNode>>) -> Option<Arc<TreeNode>> {
    let (Some(low), Some(high)) = (left, right) else {
        return left.or(right).cloned();
    };
    let middle = merge(low.last_child(), high.left.as_ref());
    let mut entries = Vec::with_capacity(low.entries.len() + high.entries.len());
    entries.extend_from_slice(&low.entries);
    let first = match entries.last_mut() {
        Some(last) => {
            last.right = middle;
            low.left.clone()
        }
        None => middle,
    };
    entries.extend_from_slice(&high.entries);
    Some(TreeNode::new(low.height, first, entries))
}

/// Puts nodes without keys above a node until it is as high as asked: no height may be skipped.
pub(super) fn raise(mut node: Arc<TreeNode>, height: u8) -> Arc<TreeNode> {
    while node.height < height {
        node = TreeNode::new(node.height + 1, Some(node), vec![]);
    }
    node
}
