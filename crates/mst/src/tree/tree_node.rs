use std::sync::{Arc, OnceLock};

use jetwash_cbor::{Cid, Codec};

use crate::node::write_node;

/// The block of one node.
///
/// # Examples
///
/// ```
/// use jetwash_mst::Tree;
///
/// let tree = Tree::new();
/// for node in tree.nodes() {
///     assert!(node.cid.matches(node.bytes));
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeBlock<'t> {
    /// Its CID.
    pub cid: Cid,
    /// Its content.
    pub bytes: &'t [u8],
}

/// A node in memory. Shared by every tree that has it; its block is made when first asked for.
#[derive(Debug)]
pub(super) struct TreeNode {
    pub(super) height: u8,
    pub(super) left: Option<Arc<Self>>,
    pub(super) entries: Vec<TreeEntry>,
    block: OnceLock<(Cid, Box<[u8]>)>,
}

impl TreeNode {
    pub(super) fn new(height: u8, left: Option<Arc<Self>>, entries: Vec<TreeEntry>) -> Arc<Self> {
        Arc::new(Self {
            height,
            left,
            entries,
            block: OnceLock::new(),
        })
    }

    /// The same, or nothing if there would be nothing in it.
    pub(super) fn unless_empty(
        height: u8,
        left: Option<Arc<Self>>,
        entries: Vec<TreeEntry>,
    ) -> Option<Arc<Self>> {
        (left.is_some() || !entries.is_empty()).then(|| Self::new(height, left, entries))
    }

    /// The node, now of this tree alone and without its former block.
    #[inline]
    pub(super) fn edit(node: &mut Arc<Self>) -> &mut Self {
        let node = Arc::make_mut(node);
        node.block = OnceLock::new();
        node
    }

    #[inline]
    pub(super) fn block(&self) -> NodeBlock<'_> {
        let (cid, bytes) = self.block.get_or_init(|| {
            let entries = self.entries.iter().map(|entry| {
                let right = entry.right.as_ref().map(|child| child.block().cid);
                (&*entry.key, entry.value, right)
            });
            let left = self.left.as_ref().map(|child| child.block().cid);
            let bytes = write_node(left, entries);
            (Cid::of(Codec::DagCbor, &bytes), bytes.into_boxed_slice())
        });
        NodeBlock { cid: *cid, bytes }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.left.is_none()
    }

    /// The entry of that key, or else the child that would hold it.
    #[inline]
    pub(super) fn position(&self, key: &[u8]) -> Result<usize, usize> {
        self.entries.binary_search_by(|entry| (*entry.key).cmp(key))
    }

    /// The child before the entry of that number, or the last one.
    #[inline]
    pub(super) fn child(&self, position: usize) -> Option<&Arc<Self>> {
        match position.checked_sub(1) {
            None => self.left.as_ref(),
            Some(entry) => self.entries.get(entry)?.right.as_ref(),
        }
    }

    #[inline]
    pub(super) fn child_mut(&mut self, position: usize) -> &mut Option<Arc<Self>> {
        match position.checked_sub(1) {
            None => &mut self.left,
            Some(entry) => &mut self.entries[entry].right,
        }
    }

    #[inline]
    pub(super) fn last_child(&self) -> Option<&Arc<Self>> {
        self.child(self.entries.len())
    }

    pub(super) fn first_key(&self) -> &[u8] {
        let mut node = self;
        while let Some(child) = &node.left {
            node = child;
        }
        debug_assert!(!node.entries.is_empty(), "a node with nothing in it");
        node.entries.first().map_or(&[], |entry| &entry.key)
    }

    pub(super) fn last_key(&self) -> &[u8] {
        let mut node = self;
        while let Some(child) = node.last_child() {
            node = child;
        }
        debug_assert!(!node.entries.is_empty(), "a node with nothing in it");
        node.entries.last().map_or(&[], |entry| &entry.key)
    }
}

/// The copy is made to be changed, so the block is not taken along.
impl Clone for TreeNode {
    fn clone(&self) -> Self {
        Self {
            height: self.height,
            left: self.left.clone(),
            entries: self.entries.clone(),
            block: OnceLock::new(),
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct TreeEntry {
    pub(super) key: Arc<[u8]>,
    pub(super) value: Cid,
    pub(super) right: Option<Arc<TreeNode>>,
}

/// The children of several nodes of one height, in order.
pub(super) fn children_of<'t>(nodes: &[&'t Arc<TreeNode>]) -> Vec<&'t Arc<TreeNode>> {
    let children = nodes.iter().flat_map(|node| {
        let right = node.entries.iter().filter_map(|entry| entry.right.as_ref());
        node.left.iter().chain(right)
    });
    children.collect()
}
