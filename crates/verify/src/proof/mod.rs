//! The inductive proof of a commit: its operations undone on the tree that its slice holds.
//!
//! The tree is laid out flat, as keys and subtrees that are not known, in order. Operations are
//! undone on that list, all at once, and the tree before is put together from what is left. So the
//! order of the operations does not matter. Source: proposal 0006, "MST operation inversion".
//!
//! - `blocks`: the blocks of the slice, hashed.
//! - `height`: the height of a key.
//! - `node` and `tree`: the tree as far as they hold it, checked, as `item`s.
//! - `edits`: the operations, found in the tree and turned round.
//! - `rebuild`: the root of the tree before.

mod blocks;
mod edits;
mod height;
mod item;
mod node;
mod rebuild;
mod tree;

use jetwash_cbor::{Cid, Link};
use jetwash_frame::{Car, RepoOp};

use crate::reason::Reason;

use blocks::Blocks;
use edits::Edits;
use rebuild::{Parts, Rebuild};
use tree::Tree;

/// Room for one proof after another.
#[derive(Debug, Default)]
pub(crate) struct Inverter {
    blocks: Blocks,
    tree: Tree,
    edits: Edits,
    rebuild: Rebuild,
}

/// The root of the tree before a commit, as far as it can be known.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Inversion {
    /// This one.
    Root(Cid),
    /// This one, or one below it that is not known.
    Doubtful(Cid),
    /// Blocks are missing.
    Insufficient,
    /// An operation does not say what was there before it.
    Legacy,
}

impl Inverter {
    /// Reads and hashes the blocks of a slice.
    pub(crate) fn read(
        &mut self,
        slice: &[u8],
        car: &Car<'_>,
        ops: &[RepoOp<'_>],
    ) -> Result<(), Reason> {
        // After a slice that was far larger than any usual one, its room is given back.
        if slice.len() < USUAL_SLICE {
            self.shrink();
        }
        self.blocks.read(slice, car, ops)
    }

    /// A block of the slice that was read last.
    pub(crate) fn block<'a>(&self, slice: &'a [u8], cid: Link<'_>) -> Option<&'a [u8]> {
        let block = self.blocks.get(self.blocks.find(slice, cid.as_bytes())?)?;
        Some(block.content(slice))
    }

    /// Undoes the operations on the tree below `data` in the slice that was read last. `order` has
    /// them in the order of their paths, none of which is there twice.
    pub(crate) fn invert(
        &mut self,
        slice: &[u8],
        data: &Cid,
        ops: &[RepoOp<'_>],
        order: &[u16],
    ) -> Result<Inversion, Reason> {
        if ops.is_empty() {
            // Such a commit need not hold any node.
            return Ok(Inversion::Root(*data));
        }
        let Self {
            blocks,
            tree,
            edits,
            rebuild,
        } = self;
        tree.load(slice, blocks, data)?;
        edits.find(slice, tree, ops, order)?;
        if !edits.is_complete {
            return Ok(Inversion::Legacy);
        }
        if !edits.is_proven {
            return Ok(Inversion::Insufficient);
        }
        Ok(match rebuild.root(Parts { slice, tree, ops }, edits) {
            Some(root) if root.is_doubtful => Inversion::Doubtful(root.cid),
            Some(root) => Inversion::Root(root.cid),
            None => Inversion::Insufficient,
        })
    }

    fn shrink(&mut self) {
        self.blocks.shrink(MOST_KEPT);
        self.tree.shrink(MOST_KEPT);
        self.edits.shrink(MOST_KEPT);
        self.rebuild.shrink(MOST_KEPT);
    }
}

/// Nearly every slice is shorter than this.
const USUAL_SLICE: usize = 1 << 16;
/// How many blocks, items and keys room is kept for.
const MOST_KEPT: usize = 4096;
