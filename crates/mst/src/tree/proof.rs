use std::collections::HashSet;
use std::sync::Arc;

use super::tree_node::{NodeBlock, TreeNode};

/// Nodes of a proof in the order they were met, none twice.
#[derive(Default)]
pub(super) struct Proof<'t> {
    seen: HashSet<*const TreeNode>,
    pub(super) nodes: Vec<NodeBlock<'t>>,
}

impl<'t> Proof<'t> {
    /// Adds the nodes on the way to a key, whether it is there or not.
    pub(super) fn add_path(&mut self, root: &'t Arc<TreeNode>, key: &[u8]) {
        let mut next = Some(root);
        while let Some(node) = next {
            if self.seen.insert(Arc::as_ptr(node)) {
                self.nodes.push(node.block());
            }
            next = match node.position(key) {
                Ok(_) => None,
                Err(position) => node.child(position),
            };
        }
    }
}
