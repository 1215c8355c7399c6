use bytes::Bytes;
use jetwash_event::Micros;

use crate::error::BackendError;
use crate::seq::Seq;

/// A bucket of blocks, of frames or of accounts, for readers. Calls block.
pub(crate) trait Bucket: Send + Sync {
    /// The keys of all blocks, in order.
    fn keys(&self) -> Result<Vec<BlockKey>, BackendError>;

    /// The index of a block.
    fn index(&self, key: &BlockKey) -> Result<Option<Bytes>, BucketError>;

    /// The payload of a block.
    fn payload(&self, key: &BlockKey) -> Result<Option<Bytes>, BucketError>;

    /// The cursors that were kept with a block.
    fn cursors(&self, key: &BlockKey) -> Result<Option<Bytes>, BucketError>;

    /// The frames of a log from a sequence number on, in order: as many as fit into `bytes`, but at
    /// least one if there is any.
    fn frames(&self, log: u32, from: u64, bytes: usize) -> Result<Vec<(u64, Bytes)>, BucketError>;

    /// The value that was written for an account.
    fn account(&self, key: &[u8]) -> Result<Option<Bytes>, BackendError>;

    /// The bytes that the bucket takes on disk, and about how many entries it has. Reads nothing.
    fn size(&self) -> (u64, u64);
}

/// Names a block in its bucket. Buckets list these without touching the blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockKey {
    pub(crate) first_seq: Seq,
    pub(crate) first_time: Micros,
    /// The bytes that the block takes: index and payload.
    pub(crate) bytes: u32,
}

/// Why a part of a block cannot be read.
#[derive(Debug)]
pub(crate) enum BucketError {
    /// It is there, but is not what was written.
    Damaged,
    /// It cannot be read.
    Failed(BackendError),
}

/// The kind of a bucket's contents, and its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum BucketName {
    /// Blocks; the number is the position of the first event.
    Events(Seq),
    /// Frames; the buckets are numbered in the order of their making.
    Frames(u64),
    /// The states of accounts; the number is the time in microseconds at which the bucket was begun.
    Accounts(u64),
}

impl BucketName {
    /// Whether the other bucket holds the same and was begun later.
    pub(crate) fn is_followed_by(self, other: Self) -> bool {
        match (self, other) {
            (Self::Events(one), Self::Events(next)) => one < next,
            (Self::Frames(one), Self::Frames(next))
            | (Self::Accounts(one), Self::Accounts(next)) => one < next,
            _ => false,
        }
    }
}
