//! Where bytes are kept under keys, in memory or on disk. Knows nothing of blocks and events.
//!
//! The way of the data through it:
//!
//! - here, [`Backend`]: what the appender writes to; [`bucket`]: what readers read from; [`batch`]:
//!   changes that are made together; [`state`]: the keys of everything that is not a block;
//! - [`durable`]: syncs as often as the durability asks;
//! - [`memory`]: keeps everything in maps;
//! - `simulated`: keeps everything in maps that outlive it, as a disk whose faults a test plays;
//! - [`disk`]: keeps everything in the storage engine ([`engine`]), each bucket in a keyspace of its
//!   own ([`disk_bucket`], [`keyspaces`]), and says when its buffers are written out ([`buffer`]);
//! - beside the engine: [`mark`], how far positions were given out, and [`manifest`], what must be
//!   there;
//! - before the engine opens: [`prepare`] looks at its [`folder`], its [`files`] and its
//!   [`journal`], and [`repair`] makes a damaged folder usable;
//! - beside a program that has the folder open: [`copy`], what a killed process would leave.

use std::sync::Arc;

use bytes::Bytes;

use crate::error::BackendError;

mod batch;
mod bucket;
mod buffer;
mod copy;
mod disk;
mod disk_bucket;
mod durable;
mod engine;
mod files;
mod folder;
mod journal;
mod keyspaces;
mod manifest;
mod mark;
mod memory;
mod prepare;
mod repair;
#[cfg(feature = "crash-points")]
mod simulated;
pub(crate) mod state;

pub(crate) use batch::{AccountRow, Batch, BlockRow, FrameRow};
pub(crate) use bucket::{BlockKey, Bucket, BucketError, BucketName};
pub(crate) use copy::copy;
pub(crate) use disk::DiskBackend;
pub(crate) use durable::Durable;
pub use files::FaultyFile;
pub(crate) use files::{VERSION, check_values};
pub(crate) use folder::KEYSPACES;
pub(crate) use mark::Reserved;
pub(crate) use memory::MemoryBackend;
pub(crate) use prepare::diagnose;
pub(crate) use repair::{RepairedFiles, repair_files};
#[cfg(feature = "crash-points")]
pub use simulated::SimulatedDisk;

/// The storage that the appender writes to. Calls block.
pub(crate) trait Backend: Send + Sync {
    /// Writes down the format's version, before anything else is changed.
    fn begin(&self) -> Result<(), BackendError>;

    /// Makes a bucket, or finds the empty one that a failed commit left.
    fn create_bucket(&self, name: BucketName) -> Result<Arc<dyn Bucket>, BackendError>;

    /// Removes a bucket. Readers that hold it can continue reading.
    fn delete_bucket(&self, name: BucketName) -> Result<(), BackendError>;

    /// Writes all of a batch or nothing of it, and not before what was written earlier.
    fn write(&self, batch: &Batch) -> Result<(), BackendError>;

    /// Makes all that was written survive a power failure.
    fn sync(&self) -> Result<(), BackendError>;

    /// Syncs, then lists what there is, so that an opening notices what has gone since.
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

    /// The dead letters whose keys begin with `prefix`, from the key `from` on, in order; up to
    /// `max`.
    fn letters(
        &self,
        prefix: &[u8],
        from: &[u8],
        max: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, BackendError>;

    /// The bytes taken beside the blocks: journals, and dropped buckets that readers still hold.
    fn overhead_bytes(&self) -> u64;
}

/// A backend that has been opened, and all that opening a ring needs of it.
pub(crate) struct Opened {
    pub(crate) backend: Arc<dyn Backend>,
    /// The state's pairs of key and value, in the order of keys.
    pub(crate) state: Vec<(Bytes, Bytes)>,
    /// The buckets, in the order of their names.
    pub(crate) buckets: Vec<(BucketName, Arc<dyn Bucket>)>,
    /// Readers may have seen positions and times up to here although they are not stored: set if the
    /// machine has been restarted, or damage was cut off.
    pub(crate) reserved: Option<Reserved>,
    /// As of the last mark, whether or not it has to be looked at.
    pub(crate) mark: Reserved,
}
