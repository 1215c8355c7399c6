use std::fmt;

use jetwash_cbor::{Cid, Link};
use thiserror::Error;

use crate::blocks::BlockSource;
use crate::node::{Node, NodeError};

/// Goes through a tree in key order, reading its nodes as it comes to them.
///
/// An iterator of [`WalkEntry`]. Where a node is not in the source, as most are not in the slice
/// that a commit carries, it says which, once, and continues behind the gap. A node that breaks a
/// rule ends the walk: nothing below or after it could be relied on.
///
/// At any time it holds one node of each height, 129 at most, whatever the tree claims.
///
/// Sources: the repository and sync specifications.
///
/// # Examples
///
/// ```
/// use jetwash_cbor::{Cid, Codec};
/// use jetwash_mst::{BlockIndex, LeafError, Walk, write_node};
///
/// let record = Cid::of(Codec::DagCbor, &[0xa0]);
/// let node = write_node(None, [(&b"a/1"[..], record, None)]);
/// let root = Cid::of(Codec::DagCbor, &node);
///
/// let mut index = BlockIndex::new();
/// index.insert(root.as_link(), &node);
/// let entry = Walk::new(&index, root).next().unwrap()?;
/// assert_eq!((&entry.key[..], entry.cid), (&b"a/1"[..], record.as_link()));
/// assert_eq!(entry.record, Err(LeafError::Missing));
/// # Ok::<(), jetwash_mst::WalkError>(())
/// ```
pub struct Walk<'s, S: ?Sized> {
    source: &'s S,
    root: Option<Cid>,
    path: Vec<Step<'s>>,
    last_key: Vec<u8>,
}

impl<'s, S: BlockSource + ?Sized> Walk<'s, S> {
    /// A walk over the tree under `root`, the `data` of a commit.
    #[must_use]
    pub const fn new(source: &'s S, root: Cid) -> Self {
        Self {
            source,
            root: Some(root),
            path: Vec::new(),
            last_key: Vec::new(),
        }
    }

    fn step(&mut self) -> Result<Option<WalkEntry<'s>>, WalkError> {
        if let Some(root) = self.root.take() {
            self.open(root, None)?;
        }
        loop {
            let Some(step) = self.path.last_mut() else {
                return Ok(None);
            };
            match step.advance() {
                Turn::Child(cid, height) => self.open(cid, Some(height))?,
                Turn::Entry(value) => {
                    self.last_key.clone_from(&step.key);
                    return Ok(Some(self.entry(value)));
                }
                Turn::Nothing => {}
                Turn::Up => {
                    self.path.pop();
                }
            }
        }
    }

    fn entry(&self, cid: Link<'s>) -> WalkEntry<'s> {
        let record = match Cid::try_from(cid) {
            Ok(cid) => self.source.block(&cid).ok_or(LeafError::Missing),
            Err(_) => Err(LeafError::ForeignCid),
        };
        WalkEntry {
            key: self.last_key.clone(),
            cid,
            record,
        }
    }

    /// Enters a node. Its parent, if any, says how high it has to be.
    fn open(&mut self, cid: Cid, expected: Option<u8>) -> Result<(), WalkError> {
        let bytes = self.source.block(&cid).ok_or(WalkError::Missing(cid))?;
        let node = Node::decode(bytes).map_err(|source| WalkError::Node { cid, source })?;
        let height = match (node.height(), expected) {
            (None, None) if node.is_empty() => return Ok(()),
            (None, None) => return Err(WalkError::RootWithoutKeys(cid)),
            (None, Some(_)) if node.is_empty() => return Err(WalkError::EmptyNode(cid)),
            (None, Some(0)) => return Err(WalkError::Height(cid)),
            (Some(height), Some(expected)) if height != expected => {
                return Err(WalkError::Height(cid));
            }
            (Some(height), _) | (None, Some(height)) => height,
        };
        if !self.lies_between_neighbours(&node) {
            return Err(WalkError::Range(cid));
        }
        self.path.push(Step {
            node,
            height,
            turn: 0,
            key: Vec::new(),
        });
        Ok(())
    }

    fn lies_between_neighbours(&self, node: &Node<'_>) -> bool {
        let Some(first) = node.entries().first() else {
            return true;
        };
        let next = self.path.iter().rev().find_map(Step::next_key);
        first.suffix > &self.last_key[..] && next.is_none_or(|next| node.last_key() < &next[..])
    }
}

impl<S: ?Sized> fmt::Debug for Walk<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Walk")
            .field("depth", &self.path.len())
            .field("last_key", &String::from_utf8_lossy(&self.last_key))
            .finish_non_exhaustive()
    }
}

impl<'s, S: BlockSource + ?Sized> Iterator for Walk<'s, S> {
    type Item = Result<WalkEntry<'s>, WalkError>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        if let Err(error) = &step
            && !error.is_gap()
        {
            self.path.clear();
        }
        step.transpose()
    }
}

/// One record of a tree.
///
/// # Examples
///
/// ```
/// use jetwash_cbor::{Cid, Codec};
/// use jetwash_mst::{LeafError, WalkEntry};
///
/// let cid = Cid::of(Codec::DagCbor, &[0xa0]);
/// let entry = WalkEntry { key: b"a/1".to_vec(), cid: cid.as_link(), record: Err(LeafError::Missing) };
/// assert!(entry.record.is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalkEntry<'s> {
    /// The path, `collection/rkey`. Only its length is checked: it may hold any bytes.
    pub key: Vec<u8>,
    /// The record's CID. It may be of a kind that AT Protocol does not make.
    pub cid: Link<'s>,
    /// The record, or why it is not there.
    pub record: Result<&'s [u8], LeafError>,
}

/// Why a record is not there.
///
/// # Examples
///
/// ```
/// use jetwash_mst::LeafError;
///
/// assert_eq!(LeafError::Missing.to_string(), "the record's block is missing");
/// ```
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeafError {
    /// Its CID is of a kind whose content cannot be checked.
    #[error("the record's CID is neither DAG-CBOR nor raw under SHA-256")]
    ForeignCid,
    /// The source does not hold it.
    #[error("the record's block is missing")]
    Missing,
}

/// Why part of a tree, or the rest of it, cannot be walked.
///
/// # Examples
///
/// ```
/// use jetwash_cbor::{Cid, Codec};
/// use jetwash_mst::{BlockIndex, Walk, WalkError};
///
/// let root = Cid::of(Codec::DagCbor, &[0xa0]);
/// let error = Walk::new(&BlockIndex::new(), root).next().unwrap().unwrap_err();
/// assert_eq!(error, WalkError::Missing(root));
/// assert!(error.is_gap());
/// ```
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum WalkError {
    /// A node without entries and children, where there is more than it in the tree.
    #[error("node {0}: neither entries nor a child")]
    EmptyNode(Cid),
    /// A node that is not one below its parent.
    #[error("node {0}: not one height below its parent")]
    Height(Cid),
    /// The source does not hold a node. The walk continues behind it.
    #[error("node {0}: its block is missing")]
    Missing(Cid),
    /// A block is not a node.
    #[error("node {cid}: {source}")]
    Node {
        /// The node.
        cid: Cid,
        /// The fault.
        source: NodeError,
    },
    /// A node with keys that are not between those to its left and right.
    #[error("node {0}: keys outside the range of its place in the tree")]
    Range(Cid),
    /// A root without keys, which a correct writer leaves out.
    #[error("node {0}: a root without keys")]
    RootWithoutKeys(Cid),
}

impl WalkError {
    /// Whether this is only a gap, behind which the walk continues.
    #[must_use]
    pub const fn is_gap(&self) -> bool {
        matches!(self, Self::Missing(_))
    }
}

/// A node on the way from the root, and how far it has been read.
struct Step<'s> {
    node: Node<'s>,
    height: u8,
    /// Children have even numbers and entries odd ones.
    turn: usize,
    key: Vec<u8>,
}

impl<'s> Step<'s> {
    fn advance(&mut self) -> Turn<'s> {
        let turn = self.turn;
        self.turn += 1;
        let entry = turn
            .checked_sub(1)
            .map(|number| self.node.entries().get(number / 2));
        let child = match entry {
            None => self.node.left().copied(),
            Some(None) => return Turn::Up,
            Some(Some(entry)) if turn % 2 == 1 => {
                entry.apply(&mut self.key);
                return Turn::Entry(entry.value);
            }
            Some(Some(entry)) => entry.right,
        };
        // Nodes at height 0 have no children: decoding and opening make sure of it.
        match (child, self.height.checked_sub(1)) {
            (Some(cid), Some(height)) => Turn::Child(cid, height),
            _ => Turn::Nothing,
        }
    }

    /// The key of the next entry, if there is one.
    fn next_key(&self) -> Option<Vec<u8>> {
        let entry = self.node.entries().get(self.turn / 2)?;
        let mut key = self.key.clone();
        entry.apply(&mut key);
        Some(key)
    }
}

enum Turn<'s> {
    Child(Cid, u8),
    Entry(Link<'s>),
    Nothing,
    Up,
}
