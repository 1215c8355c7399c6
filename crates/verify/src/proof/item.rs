/// One step of a partial tree in the order of its keys: a key, or a subtree that is not known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    /// The height of the key, or of the root of the subtree.
    pub(super) height: u8,
    pub(super) kind: ItemKind,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum ItemKind {
    Key {
        key: KeyAt,
        value: ValueAt,
    },
    /// A subtree whose root is not among the blocks; where its CID is in the slice.
    Stub(u32),
}

/// Where a key is.
#[derive(Clone, Copy, Debug)]
pub(super) enum KeyAt {
    /// In the buffer of keys.
    Buffer { start: u32, length: u16 },
    /// The path of an operation.
    Op(u16),
}

/// Where the CID of a record is.
#[derive(Clone, Copy, Debug)]
pub(super) enum ValueAt {
    Slice {
        start: u32,
        length: u8,
    },
    /// The record before an operation.
    Op(u16),
}

impl Item {
    pub(super) const fn is_stub(&self) -> bool {
        matches!(self.kind, ItemKind::Stub(_))
    }
}
