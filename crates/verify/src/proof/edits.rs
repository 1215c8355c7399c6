use jetwash_frame::{Action, RepoOp};
use jetwash_mst::key_height;

use super::blocks::bytes_of;
use super::item::{ItemKind, ValueAt};
use super::tree::Tree;
use crate::reason::Reason;

/// The operations of a commit turned round: what to do to the tree after it, to get the tree before
/// it. In the order of the keys, which is that of the items too.
#[derive(Debug, Default)]
pub(super) struct Edits {
    pub(super) list: Vec<Edit>,
    /// Whether each operation could be found in the tree. If not, the list is of no use.
    pub(super) is_proven: bool,
    /// Whether each operation says what was there before. If not, the list is of no use.
    pub(super) is_complete: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Edit {
    /// The item that it changes, or before which it inserts.
    pub(super) item: u32,
    pub(super) kind: EditKind,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum EditKind {
    /// Inserts the key of the operation, which is of that height.
    Insert {
        op: u16,
        height: u8,
    },
    Remove,
    /// Sets the record to what it was before the operation.
    Replace {
        op: u16,
    },
}

impl Edits {
    /// Looks for each operation in the tree. `order` has the operations in the order of their paths.
    ///
    /// All are looked at, so that the result does not depend on their order: one that contradicts
    /// the tree outweighs one that cannot be found.
    pub(super) fn find(
        &mut self,
        slice: &[u8],
        tree: &Tree,
        ops: &[RepoOp<'_>],
        order: &[u16],
    ) -> Result<(), Reason> {
        self.list.clear();
        (self.is_proven, self.is_complete) = (true, true);
        for &index in order {
            let Some(op) = ops.get(usize::from(index)) else {
                continue;
            };
            match place_of(tree, op.path.as_bytes()) {
                Place::At(item) => self.change(slice, tree, (index, op), item)?,
                Place::Between { before, after } => {
                    self.insert(tree, (index, op), before, after)?;
                }
            }
            self.is_complete &= op.prev.is_some() || op.action == Action::Create;
        }
        Ok(())
    }

    /// An operation whose path is in the tree.
    fn change(
        &mut self,
        slice: &[u8],
        tree: &Tree,
        (index, op): (u16, &RepoOp<'_>),
        item: u32,
    ) -> Result<(), Reason> {
        let kind = tree.items.get(item as usize).map(|item| item.kind);
        let value = match kind {
            Some(ItemKind::Key {
                value: ValueAt::Slice { start, length },
                ..
            }) => bytes_of(slice, start, start + u32::from(length)),
            _ => &[],
        };
        // A delete has no CID, so it can leave no record either.
        if op.cid.is_none_or(|cid| cid.as_bytes() != value) {
            return Err(Reason::OpMismatch);
        }
        let kind = match op.action {
            Action::Update => EditKind::Replace { op: index },
            _ => EditKind::Remove,
        };
        self.list.push(Edit { item, kind });
        Ok(())
    }

    /// An operation whose path is not among the known keys, but between two of them.
    fn insert(
        &mut self,
        tree: &Tree,
        (index, op): (u16, &RepoOp<'_>),
        before: u32,
        after: u32,
    ) -> Result<(), Reason> {
        let between = tree.items.get(before as usize..after as usize);
        let height = key_height(op.path.as_bytes());
        let mut stubs = between.unwrap_or_default().iter();
        if op.action == Action::Delete {
            // Where among subtrees that are not known it belongs is not known either.
            self.is_proven &= stubs.next().is_none();
            let kind = EditKind::Insert { op: index, height };
            self.list.push(Edit { item: after, kind });
            return Ok(());
        }
        // A subtree has no key that is higher than its root.
        if stubs.any(|stub| stub.height >= height) {
            self.is_proven = false;
            return Ok(());
        }
        Err(Reason::OpMismatch)
    }

    pub(super) fn shrink(&mut self, most: usize) {
        self.list.clear();
        self.list.shrink_to(most);
    }
}

/// Where a key is in a tree, in items.
enum Place {
    At(u32),
    /// From the first item after the key below it, to the key above it.
    Between {
        before: u32,
        after: u32,
    },
}

fn place_of(tree: &Tree, key: &[u8]) -> Place {
    let keys = &tree.key_items;
    let index = keys.partition_point(|&item| tree.key_of(item) < key);
    let above = keys.get(index).copied();
    match above {
        Some(item) if tree.key_of(item) == key => Place::At(item),
        _ => {
            let below = index.checked_sub(1).and_then(|index| keys.get(index));
            Place::Between {
                before: below.map_or(0, |below| below + 1),
                after: above.unwrap_or(tree.items.len() as u32),
            }
        }
    }
}
