use std::sync::Arc;

use jetwash_cbor::Cid;

use super::tree_node::TreeNode;

/// The keys and records of a [`Tree`](super::Tree) in order.
///
/// # Examples
///
/// ```
/// use jetwash_cbor::{Cid, Codec};
/// use jetwash_mst::Tree;
///
/// let record = Cid::of(Codec::DagCbor, &[0xa0]);
/// let mut tree = Tree::new();
/// tree.insert(b"a/2", record)?;
/// tree.insert(b"a/1", record)?;
/// assert!(tree.iter().map(|(key, _)| key).eq([b"a/1", b"a/2"]));
/// # Ok::<(), jetwash_mst::InvalidKey>(())
/// ```
#[derive(Clone, Debug)]
pub struct Iter<'t> {
    path: Vec<(&'t TreeNode, usize)>,
}

impl<'t> Iter<'t> {
    pub(super) fn new(root: &'t Arc<TreeNode>) -> Self {
        let mut iter = Self { path: Vec::new() };
        iter.descend(Some(root));
        iter
    }

    fn descend(&mut self, mut child: Option<&'t Arc<TreeNode>>) {
        while let Some(node) = child {
            self.path.push((node, 0));
            child = node.left.as_ref();
        }
    }
}

impl<'t> Iterator for Iter<'t> {
    type Item = (&'t [u8], &'t Cid);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (node, position) = self.path.last_mut()?;
            if let Some(entry) = node.entries.get(*position) {
                *position += 1;
                self.descend(entry.right.as_ref());
                return Some((&entry.key, &entry.value));
            }
            self.path.pop();
        }
    }
}
