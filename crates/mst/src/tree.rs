use std::collections::HashSet;
use std::sync::{Arc, LazyLock, OnceLock};

use jetwash_cbor::{Cid, Codec};
use thiserror::Error;

use crate::height::key_height;
use crate::node::{MAX_KEY_BYTES, write_node};

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

    /// Sets the record at a key and gives the one that was there.
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

    /// Removes a key and gives the record that was there.
    pub fn remove(&mut self, key: &[u8]) -> Option<Cid> {
        // A key that is not there must not make new nodes of those on the way to it.
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
        let mut iter = Iter { path: Vec::new() };
        iter.descend(Some(&self.root));
        iter
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
        let mut nodes = Vec::new();
        let (mut new, mut old) = (vec![&self.root], vec![&since.root]);
        let (mut new_height, mut old_height) = (self.root.height, since.root.height);
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

/// The keys and records of a [`Tree`] in order.
#[derive(Clone, Debug)]
pub struct Iter<'t> {
    path: Vec<(&'t TreeNode, usize)>,
}

impl<'t> Iter<'t> {
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

/// The block of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeBlock<'t> {
    /// Its CID.
    pub cid: Cid,
    /// Its content.
    pub bytes: &'t [u8],
}

/// A key that no tree may hold: empty, or longer than [`MAX_KEY_BYTES`].
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("a key of {length} bytes, where 1 to {MAX_KEY_BYTES} are allowed")]
pub struct InvalidKey {
    /// Its length in bytes.
    pub length: usize,
}

#[derive(Debug)]
struct TreeNode {
    height: u8,
    left: Option<Arc<Self>>,
    entries: Vec<TreeEntry>,
    block: OnceLock<(Cid, Box<[u8]>)>,
}

impl TreeNode {
    fn new(height: u8, left: Option<Arc<Self>>, entries: Vec<TreeEntry>) -> Arc<Self> {
        Arc::new(Self {
            height,
            left,
            entries,
            block: OnceLock::new(),
        })
    }

    /// The same, or nothing if there would be nothing in it.
    fn unless_empty(
        height: u8,
        left: Option<Arc<Self>>,
        entries: Vec<TreeEntry>,
    ) -> Option<Arc<Self>> {
        (left.is_some() || !entries.is_empty()).then(|| Self::new(height, left, entries))
    }

    /// The node, now of this tree alone and without its former block.
    fn edit(node: &mut Arc<Self>) -> &mut Self {
        let node = Arc::make_mut(node);
        node.block = OnceLock::new();
        node
    }

    fn block(&self) -> NodeBlock<'_> {
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

    fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.left.is_none()
    }

    /// The entry of that key, or else the child that would hold it.
    fn position(&self, key: &[u8]) -> Result<usize, usize> {
        self.entries.binary_search_by(|entry| (*entry.key).cmp(key))
    }

    /// The child before the entry of that number, or the last one.
    fn child(&self, position: usize) -> Option<&Arc<Self>> {
        match position.checked_sub(1) {
            None => self.left.as_ref(),
            Some(entry) => self.entries.get(entry)?.right.as_ref(),
        }
    }

    fn child_mut(&mut self, position: usize) -> &mut Option<Arc<Self>> {
        match position.checked_sub(1) {
            None => &mut self.left,
            Some(entry) => &mut self.entries[entry].right,
        }
    }

    fn last_child(&self) -> Option<&Arc<Self>> {
        self.child(self.entries.len())
    }

    fn first_key(&self) -> &[u8] {
        let mut node = self;
        while let Some(child) = &node.left {
            node = child;
        }
        node.entries.first().map_or(&[], |entry| &entry.key)
    }

    fn last_key(&self) -> &[u8] {
        let mut node = self;
        while let Some(child) = node.last_child() {
            node = child;
        }
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
struct TreeEntry {
    key: Arc<[u8]>,
    value: Cid,
    right: Option<Arc<TreeNode>>,
}

/// Nodes of a proof in the order they were met, none twice.
#[derive(Default)]
struct Proof<'t> {
    seen: HashSet<*const TreeNode>,
    nodes: Vec<NodeBlock<'t>>,
}

impl<'t> Proof<'t> {
    fn add_path(&mut self, root: &'t Arc<TreeNode>, key: &[u8]) {
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

/// Inserts below a node that is at least as high as the key.
fn insert(node: &mut Arc<TreeNode>, entry: TreeEntry, height: u8) -> Option<Cid> {
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
fn remove(node: &mut Arc<TreeNode>, key: &[u8]) {
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

/// What is below `key` and what is above it, as nodes of the same height.
fn split(
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
fn raise(mut node: Arc<TreeNode>, height: u8) -> Arc<TreeNode> {
    while node.height < height {
        node = TreeNode::new(node.height + 1, Some(node), vec![]);
    }
    node
}

fn children_of<'t>(nodes: &[&'t Arc<TreeNode>]) -> Vec<&'t Arc<TreeNode>> {
    let children = nodes.iter().flat_map(|node| {
        let right = node.entries.iter().filter_map(|entry| entry.right.as_ref());
        node.left.iter().chain(right)
    });
    children.collect()
}

fn drop_common(new: &mut Vec<&Arc<TreeNode>>, old: &mut Vec<&Arc<TreeNode>>) {
    let cids = |nodes: &[&Arc<TreeNode>]| -> HashSet<Cid> {
        nodes.iter().map(|node| node.block().cid).collect()
    };
    let (in_new, in_old) = (cids(new), cids(old));
    new.retain(|node| !in_old.contains(&node.block().cid));
    old.retain(|node| !in_new.contains(&node.block().cid));
}

fn collect_nodes<'t>(node: &'t Arc<TreeNode>, nodes: &mut Vec<NodeBlock<'t>>) {
    nodes.push(node.block());
    for child in children_of(&[node]) {
        collect_nodes(child, nodes);
    }
}
