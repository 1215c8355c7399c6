use jetwash_cbor::Cid;

use super::blocks::{Blocks, bytes_of};
use super::item::{Item, ItemKind, KeyAt, ValueAt};
use super::node::{Entry, NodeReader};
use crate::reason::Reason;

/// The part of a tree that a slice holds, laid out flat in the order of the keys.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub(super) items: Vec<Item>,
    /// Which of the items are keys.
    pub(super) key_items: Vec<u32>,
    keys: Vec<u8>,
    nodes: Vec<NodeRange>,
    /// For each item, the highest node that starts with it. The nodes below it that start with it
    /// too follow in `nodes`, each one lower by one.
    tops: Vec<Option<u32>>,
    /// The highest node that starts with the next item.
    pending_top: Option<u32>,
    /// Room for the entries of the nodes that are being read.
    entries: Vec<Entry>,
}

/// The items of a node and everything below it.
#[derive(Clone, Copy, Debug)]
struct NodeRange {
    start: u32,
    end: u32,
    height: u8,
    cid: u32,
}

impl Tree {
    /// Reads the tree below `root` as far as its nodes are among the blocks, and checks it.
    ///
    /// Each block is read once, so the work is bounded by the length of the slice: a tree has no
    /// node twice, because no key is twice in it. The depth is bounded by the height of a key.
    pub(super) fn load(
        &mut self,
        slice: &[u8],
        blocks: &mut Blocks,
        root: &Cid,
    ) -> Result<(), Reason> {
        self.clear();
        match blocks.find(slice, root.as_bytes()) {
            Some(block) => self.node(slice, blocks, block, None),
            None => {
                self.root_is_missing();
                Ok(())
            }
        }
    }

    /// The node of that height whose first item is `start`: where its CID is, and the item after
    /// its last.
    pub(super) fn node_at(&self, start: u32, height: u8) -> Option<(u32, u32)> {
        let top = (*self.tops.get(start as usize)?)? as usize;
        let below = self.nodes.get(top)?.height.checked_sub(height)?;
        let node = self.nodes.get(top + usize::from(below))?;
        ((node.start, node.height) == (start, height)).then_some((node.cid, node.end))
    }

    pub(super) fn key(&self, start: u32, length: u16) -> &[u8] {
        bytes_of(&self.keys, start, start + u32::from(length))
    }

    /// The key of an item that is a key of the tree.
    pub(super) fn key_of(&self, item: u32) -> &[u8] {
        match self.items.get(item as usize).map(|item| item.kind) {
            Some(ItemKind::Key {
                key: KeyAt::Buffer { start, length },
                ..
            }) => self.key(start, length),
            _ => &[],
        }
    }

    pub(super) fn shrink(&mut self, most: usize) {
        self.clear();
        self.items.shrink_to(most);
        self.key_items.shrink_to(most);
        self.keys.shrink_to(most * 64);
        self.nodes.shrink_to(most);
        self.tops.shrink_to(most);
        self.entries.shrink_to(most);
    }

    fn clear(&mut self) {
        self.items.clear();
        self.key_items.clear();
        self.keys.clear();
        self.nodes.clear();
        self.tops.clear();
        self.entries.clear();
        self.pending_top = None;
    }

    /// Nothing is known, not even how high the tree is.
    fn root_is_missing(&mut self) {
        self.push(Item {
            height: u8::MAX,
            kind: ItemKind::Stub(0),
        });
    }

    /// Reads a node and what is below it. The root has the height of its keys, any other is one
    /// lower than its parent.
    fn node(
        &mut self,
        slice: &[u8],
        blocks: &mut Blocks,
        block: usize,
        height: Option<u8>,
    ) -> Result<(), Reason> {
        if !blocks.visit(block) {
            return Err(Reason::Tree);
        }
        let block = *blocks.get(block).ok_or(Reason::Tree)?;
        let first_entry = self.entries.len();
        let reader = NodeReader::new(slice, block.data as usize, block.end as usize);
        let head = reader.read(&mut self.keys, &mut self.entries);
        let head = head.ok_or(Reason::Tree)?;
        let height = match (height, head.height) {
            (None, None) if head.left.is_none() => return Ok(()),
            // Only the root of an empty tree has nothing, and a root has at least one key.
            (None, None) => return Err(Reason::Tree),
            (Some(_), None) if head.left.is_none() => return Err(Reason::Tree),
            (Some(expected), Some(found)) if expected != found => return Err(Reason::Tree),
            (Some(height), _) | (None, Some(height)) => height,
        };
        let below = match height.checked_sub(1) {
            None if head.has_child => return Err(Reason::Tree),
            below => below.unwrap_or_default(),
        };
        let node = self.nodes.len();
        self.pending_top = self.pending_top.or(Some(node as u32));
        self.nodes.push(NodeRange {
            start: self.items.len() as u32,
            end: 0,
            height,
            cid: block.cid,
        });
        let entries = first_entry..self.entries.len();
        self.child(slice, blocks, head.left, below)?;
        for entry in entries {
            let Some(&entry) = self.entries.get(entry) else {
                break;
            };
            self.push_key(&entry, height)?;
            self.child(slice, blocks, entry.right, below)?;
        }
        self.entries.truncate(first_entry);
        let end = self.items.len() as u32;
        if let Some(node) = self.nodes.get_mut(node) {
            node.end = end;
        }
        Ok(())
    }

    fn child(
        &mut self,
        slice: &[u8],
        blocks: &mut Blocks,
        cid: Option<u32>,
        height: u8,
    ) -> Result<(), Reason> {
        let Some(cid) = cid else {
            return Ok(());
        };
        match blocks.find(slice, bytes_of(slice, cid, cid + Cid::LENGTH as u32)) {
            Some(block) => self.node(slice, blocks, block, Some(height)),
            None => {
                let kind = ItemKind::Stub(cid);
                self.push(Item { height, kind });
                Ok(())
            }
        }
    }

    fn push_key(&mut self, entry: &Entry, height: u8) -> Result<(), Reason> {
        // Within a node this is known already; here it holds across nodes too.
        if let Some(&last) = self.key_items.last()
            && self.key_of(last) >= self.key(entry.key, entry.key_length)
        {
            return Err(Reason::Tree);
        }
        self.key_items.push(self.items.len() as u32);
        self.push(Item {
            height,
            kind: ItemKind::Key {
                key: KeyAt::Buffer {
                    start: entry.key,
                    length: entry.key_length,
                },
                value: ValueAt::Slice {
                    start: entry.value,
                    length: entry.value_length,
                },
            },
        });
        Ok(())
    }

    fn push(&mut self, item: Item) {
        self.items.push(item);
        self.tops.push(self.pending_top.take());
    }
}
