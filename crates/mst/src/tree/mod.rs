//! A whole tree in memory that can be changed.
//!
//! `tree_node` holds the nodes and makes their blocks, `change` inserts and removes, `iter` walks
//! in order, `difference` finds what is new since another tree, and `proof` gathers the nodes that
//! prove a change.

mod change;
mod difference;
mod iter;
mod proof;
mod tree_node;

use std::sync::{Arc, LazyLock};

use jetwash_cbor::Cid;
use thiserror::Error;

use self::change::{insert, raise, remove, split};
use self::difference::new_nodes;
pub use self::iter::Iter;
use self::proof::Proof;
pub use self::tree_node::NodeBlock;
use self::tree_node::{TreeEntry, TreeNode, children_of};
use crate::height::key_height;
use crate::node::MAX_KEY_BYTES;

/// A whole tree in memory that can be changed.
///
/// A clone costs nothing and shares all nodes; a change copies the nodes on the way to its key. So
/// the tree before a commit is kept as a clone, and [`new_nodes`](Self::new_nodes) compares the
/// two. Blocks and CIDs are made when asked for, and kept: of a changed tree only the changed nodes
/// are hashed.
///
/// Sources: the repository and sync specifications.
///
/// # Examples
///
/// ```
/// use jetwash_cbor::{Cid, Codec};
/// use jetwash_mst::Tree;
///
/// let record = Cid::of(Codec::DagCbor, &[0xa0]);
/// let mut tree = Tree::new();
/// let empty = tree.root();
///
/// assert_eq!(tree.insert(b"app.bsky.actor.profile/self", record)?, None);
/// assert_eq!(tree.get(b"app.bsky.actor.profile/self"), Some(&record));
/// assert_eq!(tree.remove(b"app.bsky.actor.profile/self"), Some(record));
/// assert_eq!(tree.root(), empty);
/// # Ok::<(), jetwash_mst::InvalidKey>(())
/// ```
#[derive(Clone, Debug)]
pub struct Tree {
    root: Arc<TreeNode>,
}

impl Tree {
    /// An empty tree.
    #[must_use]
    pub fn new() -> Self {
        static EMPTY: LazyLock<Arc<TreeNode>> = LazyLock::new(|| TreeNode::new(0, None, vec![]));
        Self {
            root: Arc::clone(&EMPTY),
        }
    }

    /// The CID of the root node: the `data` of a commit.
    #[must_use]
    pub fn root(&self) -> Cid {
        self.root.block().cid
    }

    /// The height of the root node; 0 when the tree is empty.
    #[must_use]
    pub fn height(&self) -> u8 {
        self.root.height
    }

    /// Whether there are no keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.root.is_empty()
    }

    /// The record at a key.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<&Cid> {
        let mut node = &self.root;
        loop {
            match node.position(key) {
                Ok(position) => return Some(&node.entries[position].value),
                Err(position) => node = node.child(position)?,
            }
        }
    }

    /// Sets the record at a key and returns the one before.
    ///
    /// # Errors
    ///
    /// When the key is empty or longer than [`MAX_KEY_BYTES`]; nothing changes then.
    pub fn insert(&mut self, key: &[u8], value: Cid) -> Result<Option<Cid>, InvalidKey> {
        if key.is_empty() || key.len() > MAX_KEY_BYTES {
            return Err(InvalidKey { length: key.len() });
        }
        let entry = TreeEntry {
            key: key.into(),
            value,
            right: None,
        };
        let height = key_height(key);
        if self.is_empty() {
            self.root = TreeNode::new(height, None, vec![entry]);
        } else if height > self.root.height {
            let (left, right) = split(Some(&self.root), key);
            let left = left.map(|node| raise(node, height - 1));
            let right = right.map(|node| raise(node, height - 1));
            self.root = TreeNode::new(height, left, vec![TreeEntry { right, ..entry }]);
        } else {
            return Ok(insert(&mut self.root, entry, height));
        }
        Ok(None)
    }

    /// Removes a key and returns its record.
    pub fn remove(&mut self, key: &[u8]) -> Option<Cid> {
        // A key that is not there must not copy the nodes on the way to it.
        let removed = *self.get(key)?;
        remove(&mut self.root, key);
        if self.root.is_empty() {
            *self = Self::new();
        }
        while let ([], Some(only)) = (&self.root.entries[..], &self.root.left) {
            self.root = Arc::clone(only);
        }
        Some(removed)
    }

    /// All keys and records in order.
    #[must_use]
    pub fn iter(&self) -> Iter<'_> {
        Iter::new(&self.root)
    }

    /// All nodes of the tree, each before its children.
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeBlock<'_>> {
        let mut nodes = Vec::new();
        collect_nodes(&self.root, &mut nodes);
        nodes
    }

    /// The nodes that this tree has and `since` does not, from the root down.
    ///
    /// These are what a commit must carry for a reader that holds `since`; the other way round they
    /// are the nodes that the commit made superfluous.
    #[must_use]
    pub fn new_nodes(&self, since: &Self) -> Vec<NodeBlock<'_>> {
        new_nodes(&self.root, &since.root)
    }

    /// The covering proof of some keys: the nodes on the way to each, whether it is there or not,
    /// and on the way to the keys next to it on either side. From the root down for each key, none
    /// twice.
    ///
    /// With the nodes of this proof in the tree after a commit, for the keys that the commit
    /// changed, its operations can be undone and the root before it be computed (Sync 1.1).
    pub fn covering_proof<'k>(
        &self,
        keys: impl IntoIterator<Item = &'k [u8]>,
    ) -> Vec<NodeBlock<'_>> {
        let mut proof = Proof::default();
        for key in keys {
            let (before, after) = self.neighbours(key);
            proof.add_path(&self.root, key);
            for neighbour in [before, after].into_iter().flatten() {
                proof.add_path(&self.root, neighbour);
            }
        }
        proof.nodes
    }

    /// The greatest key below `key` and the smallest above it.
    #[must_use]
    pub fn neighbours(&self, key: &[u8]) -> (Option<&[u8]>, Option<&[u8]>) {
        let (mut before, mut after) = (None, None);
        let mut next = Some(&self.root);
        while let Some(node) = next {
            let found = node.position(key);
            let (Ok(position) | Err(position)) = found;
            let behind = position + usize::from(found.is_ok());
            if let Some(entry) = position.checked_sub(1).map(|left| &node.entries[left]) {
                before = Some(&*entry.key);
            }
            if let Some(entry) = node.entries.get(behind) {
                after = Some(&*entry.key);
            }
            next = node.child(position);
            if found.is_ok() {
                before = next.map(|child| child.last_key()).or(before);
                after = node.child(behind).map(|child| child.first_key()).or(after);
                next = None;
            }
        }
        (before, after)
    }
}

impl Default for Tree {
    fn default() -> Self {
        Self::new()
    }
}

impl PartialEq for Tree {
    fn eq(&self, other: &Self) -> bool {
        self.root() == other.root()
    }
}

impl Eq for Tree {}

impl<'t> IntoIterator for &'t Tree {
    type Item = (&'t [u8], &'t Cid);
    type IntoIter = Iter<'t>;

    fn into_iter(self) -> Iter<'t> {
        self.iter()
    }
}

/// A key that no tree may hold: empty, or longer than [`MAX_KEY_BYTES`].
///
/// # Examples
///
/// ```
/// use jetwash_cbor::{Cid, Codec};
/// use jetwash_mst::{InvalidKey, Tree};
///
/// let record = Cid::of(Codec::DagCbor, &[0xa0]);
/// assert_eq!(Tree::new().insert(b"", record), Err(InvalidKey { length: 0 }));
/// ```
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("a key of {length} bytes, where 1 to {MAX_KEY_BYTES} are allowed")]
pub struct InvalidKey {
    /// Its length in bytes.
    pub length: usize,
}

fn collect_nodes<'t>(node: &'t Arc<TreeNode>, nodes: &mut Vec<NodeBlock<'t>>) {
    nodes.push(node.block());
    for child in children_of(&[node]) {
        collect_nodes(child, nodes);
    }
}
