//! Where blocks and state are kept: one trait, in memory and on disk.

use std::sync::Arc;

use bytes::Bytes;

use crate::error::BackendError;

mod buffer;
mod disk;
mod files;
mod folder;
mod journal;
mod manifest;
mod mark;
mod memory;
mod repair;

pub(crate) use disk::DiskBackend;
pub(crate) use folder::diagnose;
pub(crate) use mark::Reserved;
pub(crate) use memory::MemoryBackend;
pub(crate) use repair::{RepairedFiles, repair_files};

/// What the appender writes to. Calls block.
pub(crate) trait Backend: Send + Sync {
    /// Writes down the format's version, before anything else is changed.
    fn begin(&self) -> Result<(), BackendError>;

    /// Makes a bucket, or finds the empty one that a failed commit left.
    fn create_bucket(&self, name: BucketName) -> Result<Arc<dyn Bucket>, BackendError>;

    /// Removes a bucket. Those who hold it can go on reading.
    fn delete_bucket(&self, name: BucketName) -> Result<(), BackendError>;

    /// Writes all of a batch or nothing of it, and not before what was written earlier.
    fn write(&self, batch: &Batch) -> Result<(), BackendError>;

    /// Makes all that was written survive a power failure.
    fn sync(&self) -> Result<(), BackendError>;

    /// Notes what there is now, so that it is missed if it is not there any more; syncs before.
    fn take_stock(&self) -> Result<(), BackendError>;

    /// Notes, so that it survives a power failure, how far positions and times may be given out.
    fn reserve(&self, reserved: Reserved) -> Result<(), BackendError>;

    /// Syncs, and takes back what was reserved and not used: the end of an orderly run.
    fn release(&self, used: Reserved) -> Result<(), BackendError>;

    /// Opens the storage engine anew after a failed write, which it does not forgive. Buckets
    /// stay valid. Fails, and changes nothing, while writing fails.
    fn reopen(&self) -> Result<(), BackendError>;

    /// Whether the state of batches is kept, so that it is worth encoding.
    fn keeps_state(&self) -> bool;

    /// The dead letters whose keys begin with `prefix`, from the key `from` on, in order; at most
    /// so many.
    fn letters(
        &self,
        prefix: &[u8],
        from: &[u8],
        max: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, BackendError>;

    /// What was written of an account.
    fn account(&self, key: &[u8]) -> Result<Option<Bytes>, BackendError>;

    /// The bytes taken beside the blocks: journals, and dropped buckets that readers still hold.
    fn overhead_bytes(&self) -> u64;
}

/// What a bucket holds, and the number it is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum BucketName {
    /// Blocks; the number is the position of the first event.
    Events(u64),
    /// Frames; the buckets are numbered in the order of their making.
    Frames(u64),
}

impl BucketName {
    /// Whether the other bucket holds the same and was begun later.
    pub(crate) const fn is_followed_by(self, other: Self) -> bool {
        match (self, other) {
            (Self::Events(one), Self::Events(next)) | (Self::Frames(one), Self::Frames(next)) => {
                one < next
            }
            _ => false,
        }
    }
}

/// What readers read from. Calls block.
pub(crate) trait Bucket: Send + Sync {
    /// The keys of all blocks, in order.
    fn keys(&self) -> Result<Vec<BlockKey>, BackendError>;

    /// The index of a block.
    fn index(&self, key: &BlockKey) -> Result<Option<Bytes>, BucketError>;

    /// The payload of a block.
    fn payload(&self, key: &BlockKey) -> Result<Option<Bytes>, BucketError>;

    /// The cursors that were kept with a block.
    fn cursors(&self, key: &BlockKey) -> Result<Option<Bytes>, BucketError>;

    /// The frames of a log from a sequence number on, in order: as many as fit into so many bytes,
    /// but at least one if there is any.
    fn frames(&self, log: u32, from: u64, bytes: usize) -> Result<Vec<(u64, Bytes)>, BucketError>;
}

/// Names a block in its bucket. Buckets list these without touching the blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockKey {
    pub(crate) first_seq: u64,
    pub(crate) first_time: u64,
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

/// What a backend holds when it is opened.
pub(crate) struct Opened {
    pub(crate) backend: Arc<dyn Backend>,
    /// The state's pairs of key and value, in the order of keys.
    pub(crate) state: Vec<(Bytes, Bytes)>,
    /// The buckets, in the order of their names.
    pub(crate) buckets: Vec<(BucketName, Arc<dyn Bucket>)>,
    /// What readers may have seen although it is not here: set if the machine has been restarted,
    /// or damage was cut off.
    pub(crate) reserved: Option<Reserved>,
    /// As of the last mark, whether or not it has to be looked at.
    pub(crate) mark: Reserved,
}

/// Changes that are made together.
#[derive(Default)]
pub(crate) struct Batch {
    /// Keys of the state with their new values; `None` removes one.
    pub(crate) state: Vec<(Vec<u8>, Option<Bytes>)>,
    /// Keys of dead letters with their new values; `None` removes one.
    pub(crate) letters: Vec<(Vec<u8>, Option<Bytes>)>,
    pub(crate) blocks: Vec<BlockRow>,
    pub(crate) frames: Vec<FrameRow>,
    /// Keys of accounts with what is remembered of each.
    pub(crate) accounts: Vec<(Vec<u8>, Bytes)>,
}

/// A new block, and where it goes to.
pub(crate) struct BlockRow {
    /// The first position of its bucket.
    pub(crate) bucket: u64,
    pub(crate) key: BlockKey,
    pub(crate) index: Bytes,
    pub(crate) payload: Bytes,
    /// How far the upstreams had been read when the block had no event that was read later: see
    /// [`state::encode_cursors`](crate::state::encode_cursors).
    pub(crate) cursors: Option<Bytes>,
}

/// A new frame, and where it goes to.
pub(crate) struct FrameRow {
    pub(crate) bucket: u64,
    pub(crate) log: u32,
    pub(crate) seq: u64,
    pub(crate) bytes: Bytes,
}

impl Batch {
    pub(crate) fn set(&mut self, key: Vec<u8>, value: impl Into<Bytes>) {
        self.state.push((key, Some(value.into())));
    }

    /// The bytes of the events in it.
    pub(crate) fn event_bytes(&self) -> u64 {
        let state = self.state.iter().filter_map(|(_, value)| value.as_ref());
        let state: usize = state.map(Bytes::len).sum();
        let blocks = self.blocks.iter().map(|row| row.key.bytes);
        state as u64 + blocks.map(u64::from).sum::<u64>()
    }

    pub(crate) fn remove(&mut self, key: Vec<u8>) {
        self.state.push((key, None));
    }
}
