use jetwash_cbor::{Cid, Codec, write_head};
use jetwash_frame::RepoOp;

use super::blocks::bytes_of;
use super::edits::{Edit, EditKind, Edits};
use super::item::{Item, ItemKind, KeyAt, ValueAt};
use super::tree::Tree;

/// The tree before a commit, put together from the items that are left.
#[derive(Debug, Default)]
pub(super) struct Rebuild {
    steps: Vec<Step>,
    /// The children of the nodes that are being written.
    children: Vec<Option<Cid>>,
    /// The node that is being written.
    buffer: Vec<u8>,
}

/// The root of the tree before a commit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Root {
    pub(super) cid: Cid,
    /// Whether it is the root of a subtree that is not known and may have no key of its own, and
    /// then would not be the root.
    pub(super) is_doubtful: bool,
}

/// An item, and its history.
#[derive(Clone, Copy, Debug)]
struct Step {
    item: Item,
    /// The item of the tree after the commit; `None` if this is not as it was there.
    origin: Option<u32>,
    /// How many edits there were up to here. Between two steps of the same count, nothing changed.
    edits: u32,
}

/// The parts that nodes are written from.
#[derive(Clone, Copy)]
pub(super) struct Parts<'a> {
    pub(super) slice: &'a [u8],
    pub(super) tree: &'a Tree,
    pub(super) ops: &'a [RepoOp<'a>],
}

impl Rebuild {
    /// Applies the edits and returns the root; `None` if a node is needed that is not known.
    pub(super) fn root(&mut self, parts: Parts<'_>, edits: &Edits) -> Option<Root> {
        self.apply(parts.tree, &edits.list);
        self.children.clear();
        let height = self.steps.iter().map(|step| step.item.height).max();
        let Some(height) = height else {
            let cid = Cid::of(Codec::DagCbor, EMPTY_NODE);
            return Some(Root {
                cid,
                is_doubtful: false,
            });
        };
        let is_doubtful = match self.steps.as_slice() {
            [only] => only.item.is_stub() && height > 0,
            _ => false,
        };
        let end = self.steps.len();
        match self.known(parts, 0, height) {
            Some((cid, after)) if after == end => Some(Root { cid, is_doubtful }),
            _ => {
                let cid = self.node(parts, 0, end, height)?;
                Some(Root { cid, is_doubtful })
            }
        }
    }

    pub(super) fn shrink(&mut self, most: usize) {
        self.steps.clear();
        self.steps.shrink_to(most);
        self.children.shrink_to(most);
        self.buffer.clear();
        self.buffer.shrink_to(most * 64);
    }

    fn apply(&mut self, tree: &Tree, edits: &[Edit]) {
        self.steps.clear();
        let mut edits = edits.iter().peekable();
        let mut count = 0;
        for (index, &item) in (0..).zip(&tree.items) {
            let mut step = Step {
                item,
                origin: Some(index),
                edits: 0,
            };
            let mut is_removed = false;
            while let Some(edit) = edits.next_if(|edit| edit.item == index) {
                count += 1;
                match edit.kind {
                    EditKind::Insert { op, height } => self.insert(op, height, count),
                    EditKind::Remove => is_removed = true,
                    EditKind::Replace { op } => step.replace(op),
                }
            }
            step.edits = count;
            if !is_removed {
                self.steps.push(step);
            }
        }
        for edit in edits {
            count += 1;
            if let EditKind::Insert { op, height } = edit.kind {
                self.insert(op, height, count);
            }
        }
    }

    fn insert(&mut self, op: u16, height: u8, edits: u32) {
        let (key, value) = (KeyAt::Op(op), ValueAt::Op(op));
        self.steps.push(Step {
            item: Item {
                height,
                kind: ItemKind::Key { key, value },
            },
            origin: None,
            edits,
        });
    }

    /// Puts the child between two keys of a node of that height onto the list: from the step `start`
    /// to before the next key of that height, whose place is returned, or to before `end`.
    ///
    /// The recursion ends at height 0, since what lies between the keys of a node is lower than they
    /// are.
    fn gap(&mut self, parts: Parts<'_>, start: usize, end: usize, height: u8) -> Option<usize> {
        let is_key = |step: &Step| step.item.height == height;
        let rest = self.steps.get(start..end)?;
        if rest.first().is_none_or(is_key) {
            self.children.push(None);
            return Some(start);
        }
        let below = height.checked_sub(1)?;
        if let Some((cid, after)) = self.known(parts, start, below)
            && rest.get(after - start).is_none_or(is_key)
        {
            self.children.push(Some(cid));
            return Some(after);
        }
        let keys = rest.iter().position(is_key);
        let after = keys.map_or(end, |key| start + key);
        let child = self.node(parts, start, after, below)?;
        self.children.push(Some(child));
        Some(after)
    }

    /// The CID of the node of that height over some steps.
    fn node(&mut self, parts: Parts<'_>, from: usize, to: usize, height: u8) -> Option<Cid> {
        let first_child = self.children.len();
        let mut key = self.gap(parts, from, to, height)?;
        while key < to {
            key = self.gap(parts, key + 1, to, height)?;
        }
        let cid = self.write(parts, from, to, height, first_child)?;
        self.children.truncate(first_child);
        Some(cid)
    }

    /// The node of that height that starts with a step and is as it was after the commit: its CID,
    /// and the step after it.
    fn known(&self, parts: Parts<'_>, start: usize, height: u8) -> Option<(Cid, usize)> {
        let first = self.steps.get(start)?;
        let origin = first.origin?;
        let (cid, length) = match first.item.kind {
            ItemKind::Stub(cid) if first.item.height == height => (cid, 1),
            _ => {
                let (cid, end) = parts.tree.node_at(origin, height)?;
                (cid, (end - origin) as usize)
            }
        };
        let last = self.steps.get(start + length - 1)?;
        if first.edits != last.edits {
            return None;
        }
        Some((cid_at(parts.slice, cid)?, start + length))
    }

    /// Writes a node whose children are on the list from `first_child` on.
    fn write(
        &mut self,
        parts: Parts<'_>,
        from: usize,
        to: usize,
        height: u8,
        first_child: usize,
    ) -> Option<Cid> {
        let children = self.children.get(first_child..)?;
        let (left, rights) = children.split_first()?;
        let out = &mut self.buffer;
        out.clear();
        out.extend_from_slice(b"\xa2\x61e");
        write_head(out, ARRAY, rights.len() as u64);
        let mut previous: &[u8] = &[];
        let steps = self.steps.get(from..to)?.iter();
        let keys = steps.filter(|step| step.item.height == height);
        for (step, right) in keys.zip(rights) {
            let (key, value) = step.item.entry(parts)?;
            let shared = shared_prefix(previous, key);
            let suffix = key.get(shared..)?;
            out.extend_from_slice(b"\xa4\x61k");
            write_head(out, BYTES, suffix.len() as u64);
            out.extend_from_slice(suffix);
            out.extend_from_slice(b"\x61p");
            write_head(out, UNSIGNED, shared as u64);
            out.extend_from_slice(b"\x61t");
            write_child(out, right.as_ref());
            out.extend_from_slice(b"\x61v");
            write_link(out, value);
            previous = key;
        }
        out.extend_from_slice(b"\x61l");
        write_child(out, left.as_ref());
        Some(Cid::of(Codec::DagCbor, out))
    }
}

impl Step {
    fn replace(&mut self, op: u16) {
        self.origin = None;
        if let ItemKind::Key { value, .. } = &mut self.item.kind {
            *value = ValueAt::Op(op);
        }
    }
}

impl Item {
    /// The key and the CID of the record; `None` for a subtree that is not known. In the place of a
    /// key it is as high as the node, so its keys would belong into the node.
    fn entry(self, parts: Parts<'_>) -> Option<(&[u8], &[u8])> {
        let ItemKind::Key { key, value } = self.kind else {
            return None;
        };
        let op = |index: u16| parts.ops.get(usize::from(index));
        let key = match key {
            KeyAt::Buffer { start, length } => parts.tree.key(start, length),
            KeyAt::Op(index) => op(index)?.path.as_bytes(),
        };
        let value = match value {
            ValueAt::Slice { start, length } => {
                bytes_of(parts.slice, start, start + u32::from(length))
            }
            ValueAt::Op(index) => op(index)?.prev?.as_bytes(),
        };
        Some((key, value))
    }
}

fn cid_at(slice: &[u8], cid: u32) -> Option<Cid> {
    Cid::from_bytes(bytes_of(slice, cid, cid + Cid::LENGTH as u32)).ok()
}

fn write_child(out: &mut Vec<u8>, child: Option<&Cid>) {
    match child {
        Some(cid) => write_link(out, cid.as_bytes()),
        None => out.push(NULL),
    }
}

fn write_link(out: &mut Vec<u8>, cid: &[u8]) {
    if cid.len() == Cid::LENGTH {
        out.extend_from_slice(b"\xd8\x2a\x58\x25\0");
    } else {
        out.extend_from_slice(b"\xd8\x2a");
        write_head(out, BYTES, cid.len() as u64 + 1);
        out.push(0);
    }
    out.extend_from_slice(cid);
}

fn shared_prefix(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

const EMPTY_NODE: &[u8] = b"\xa2\x61e\x80\x61l\xf6";
const UNSIGNED: u8 = 0;
const BYTES: u8 = 2;
const ARRAY: u8 = 4;
const NULL: u8 = 0xf6;
