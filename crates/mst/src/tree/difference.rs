//! Compares two trees node by node.

use std::collections::HashSet;
use std::sync::Arc;

use jetwash_cbor::Cid;

use super::tree_node::{NodeBlock, TreeNode, children_of};

/// The nodes below `root` that are not below `since`, from the root down.
pub(super) fn new_nodes<'t>(root: &'t Arc<TreeNode>, since: &Arc<TreeNode>) -> Vec<NodeBlock<'t>> {
    let mut nodes = Vec::new();
    let (mut new, mut old) = (vec![root], vec![since]);
    let (mut new_height, mut old_height) = (root.height, since.height);
    // A node's height follows from its keys, so level by level is enough: a node of both trees
    // is at the same height in both, and all below it is in both as well.
    while !new.is_empty() {
        if new_height == old_height {
            drop_common(&mut new, &mut old);
        }
        let height = new_height.max(old_height);
        if new_height == height {
            nodes.extend(new.iter().map(|node| node.block()));
            new = children_of(&new);
            new_height = height.saturating_sub(1);
        }
        if old_height == height {
            old = children_of(&old);
            old_height = height.saturating_sub(1);
        }
    }
    nodes
}

fn drop_common(new: &mut Vec<&Arc<TreeNode>>, old: &mut Vec<&Arc<TreeNode>>) {
    let cids = |nodes: &[&Arc<TreeNode>]| -> HashSet<Cid> {
        nodes.iter().map(|node| node.block().cid).collect()
    };
    let (in_new, in_old) = (cids(new), cids(old));
    new.retain(|node| !in_old.contains(&node.block().cid));
    old.retain(|node| !in_new.contains(&node.block().cid));
}
