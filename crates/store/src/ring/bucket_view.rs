use std::sync::Arc;

use jetwash_event::Micros;

use crate::backend::{BlockKey, Bucket};
use crate::seq::Seq;

/// The blocks of a bucket, known without reading it.
pub(crate) struct BucketView {
    pub(crate) bucket: Arc<dyn Bucket>,
    pub(crate) first_seq: Seq,
    /// The position after its last event.
    pub(crate) next_seq: Seq,
    pub(crate) bytes: u64,
    /// Never empty.
    pub(crate) entries: Vec<BlockEntry>,
}

impl BucketView {
    pub(crate) fn first_time(&self) -> Micros {
        debug_assert!(!self.entries.is_empty(), "a bucket in view holds a block");
        self.entries
            .first()
            .map_or(Micros::EPOCH, |entry| entry.first_time)
    }

    pub(super) fn push(&mut self, key: &BlockKey) {
        self.entries.push(BlockEntry {
            first_time: key.first_time,
            offset: key.first_seq.since(self.first_seq) as u32,
            bytes: key.bytes,
        });
        self.bytes += u64::from(key.bytes);
    }

    pub(crate) const fn seq_of(&self, entry: &BlockEntry) -> Seq {
        self.first_seq.plus(entry.offset as u64)
    }
}

/// A block of a bucket: small, as there is one for each block of the ring.
pub(crate) struct BlockEntry {
    pub(super) first_time: Micros,
    /// The first position, counted from the bucket's.
    offset: u32,
    pub(crate) bytes: u32,
}

/// The place of a block on disk.
pub(crate) struct ColdPlace {
    pub(crate) bucket: Arc<dyn Bucket>,
    pub(crate) key: BlockKey,
    /// The position at which the next block begins. The block ends there unless something is missing.
    pub(crate) next_seq: Seq,
}
