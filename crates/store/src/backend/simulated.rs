//! A disk in memory that outlives the process of a simulation, and fails when a test has it fail.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;

use super::{Backend, Batch, BlockKey, Bucket, BucketError, BucketName, Opened, Reserved, state};
use crate::error::{BackendError, OpenError};
use crate::seq::Seq;

/// A disk for one log, of which a test plays the faults. Its clones are the same disk.
///
/// Writes are there at once, and survive a power failure once they are synced. Those
/// that are not synced are lost from the last one on, as those of a journal are.
///
/// # Examples
///
/// ```
/// use jetwash_store::testing::SimulatedDisk;
/// use jetwash_store::{Location, Options, open};
///
/// let disk = SimulatedDisk::default();
/// let (mut appender, _store) = open(Location::Simulated(disk.clone()), Options::default())?;
/// appender.set_cursor("relay", 7);
/// appender.commit()?;
/// // The power fails before anything is synced.
/// disk.fail_power(|_| 0);
/// drop((appender, _store));
/// let (appender, _store) = open(Location::Simulated(disk), Options::default())?;
/// assert_eq!(appender.cursor("relay"), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct SimulatedDisk(Arc<Mutex<Disk>>);

#[derive(Default)]
struct Disk {
    now: Content,
    /// The content that a power failure leaves in any case.
    synced: Content,
    /// The changes since the last sync, in its order.
    changes: Vec<Change>,
    /// Always synced.
    mark: Reserved,
    /// Which start of the machine the mark is of.
    marked: Option<u64>,
    starts: u64,
    /// Grows with each end of a process, whose handles then do nothing any more.
    process: u64,
    is_open: bool,
    is_full: bool,
    /// A write has failed: there are no others until the disk is opened anew.
    has_failed: bool,
}

#[derive(Default)]
struct Content {
    state: BTreeMap<Vec<u8>, Bytes>,
    letters: BTreeMap<Vec<u8>, Bytes>,
    buckets: BTreeMap<BucketName, Arc<RwLock<Rows>>>,
}

#[derive(Clone, Default)]
struct Rows {
    blocks: BTreeMap<Seq, BlockParts>,
    frames: BTreeMap<(u32, u64), Bytes>,
    accounts: BTreeMap<Vec<u8>, Bytes>,
}

#[derive(Clone)]
struct BlockParts {
    key: BlockKey,
    index: Bytes,
    payload: Bytes,
    cursors: Option<Bytes>,
}

enum Change {
    Create(BucketName),
    Delete(BucketName),
    Write(Batch),
}

impl SimulatedDisk {
    /// Has the power fail. Of the writes that are not synced, the first ones stay: as many as `keep`
    /// returns of their number. What was opened before does nothing from then on.
    pub fn fail_power(&self, keep: impl FnOnce(usize) -> usize) {
        let mut disk = self.lock();
        let changes = std::mem::take(&mut disk.changes);
        let kept = keep(changes.len());
        for change in changes.iter().take(kept) {
            disk.synced.apply(change);
        }
        disk.now = disk.synced.copy();
        disk.starts += 1;
        disk.end_process();
    }

    /// Has the process end without a farewell. What it has written stays.
    pub fn kill(&self) {
        self.lock().end_process();
    }

    /// Has each write fail from now on, or no longer.
    pub fn set_full(&self, is_full: bool) {
        self.lock().is_full = is_full;
    }

    /// How many writes are not synced.
    #[must_use]
    pub fn unsynced(&self) -> usize {
        self.lock().changes.len()
    }

    pub(crate) fn open(&self) -> Result<Opened, OpenError> {
        let mut disk = self.lock();
        if disk.is_open {
            let path = PathBuf::from("(simulated)");
            return Err(OpenError::InUse { path });
        }
        disk.is_open = true;
        disk.has_failed = false;
        let is_restarted = disk.marked != Some(disk.starts);
        let pairs = disk.now.state.iter();
        let state = pairs.map(|(key, value)| (key.clone().into(), value.clone()));
        let buckets = disk.now.buckets.iter().map(|(name, rows)| {
            let bucket = Arc::new(SimulatedBucket(Arc::clone(rows)));
            (*name, bucket as Arc<dyn Bucket>)
        });
        Ok(Opened {
            state: state.collect(),
            buckets: buckets.collect(),
            reserved: is_restarted.then_some(disk.mark),
            mark: disk.mark,
            backend: Arc::new(SimulatedBackend {
                disk: self.clone(),
                process: disk.process,
            }),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PartialEq for SimulatedDisk {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for SimulatedDisk {}

impl fmt::Debug for SimulatedDisk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let disk = self.lock();
        formatter
            .debug_struct("SimulatedDisk")
            .field("unsynced", &disk.changes.len())
            .field("is_full", &disk.is_full)
            .finish_non_exhaustive()
    }
}

impl Disk {
    fn end_process(&mut self) {
        self.process += 1;
        self.is_open = false;
    }

    fn change(&mut self, change: Change) -> Result<(), BackendError> {
        self.check()?;
        self.now.apply(&change);
        self.changes.push(change);
        Ok(())
    }

    fn sync(&mut self) -> Result<(), BackendError> {
        self.check()?;
        for change in self.changes.drain(..) {
            self.synced.apply(&change);
        }
        Ok(())
    }

    fn check(&mut self) -> Result<(), BackendError> {
        self.has_failed |= self.is_full;
        if self.has_failed {
            return Err(FULL.into());
        }
        Ok(())
    }
}

impl Content {
    fn apply(&mut self, change: &Change) {
        let batch = match change {
            Change::Create(name) => {
                self.buckets.entry(*name).or_default();
                return;
            }
            Change::Delete(name) => {
                self.buckets.remove(name);
                return;
            }
            Change::Write(batch) => batch,
        };
        put(&mut self.state, &batch.state);
        put(&mut self.letters, &batch.letters);
        for row in &batch.blocks {
            let parts = BlockParts {
                key: row.key,
                index: row.index.clone(),
                payload: row.payload.clone(),
                cursors: row.cursors.clone(),
            };
            self.with(BucketName::Events(row.bucket), |rows| {
                rows.blocks.insert(row.key.first_seq, parts);
            });
        }
        for row in &batch.frames {
            self.with(BucketName::Frames(row.bucket), |rows| {
                rows.frames.insert((row.log, row.seq), row.bytes.clone());
            });
        }
        for row in &batch.accounts {
            self.with(BucketName::Accounts(row.bucket), |rows| {
                rows.accounts.insert(row.key.clone(), row.value.clone());
            });
        }
    }

    /// A bucket that is gone is an error of the caller, found when it is written to.
    fn with(&self, name: BucketName, change: impl FnOnce(&mut Rows)) {
        if let Some(rows) = self.buckets.get(&name) {
            change(&mut rows.write().unwrap_or_else(PoisonError::into_inner));
        }
    }

    fn copy(&self) -> Self {
        let copy =
            |rows: &RwLock<Rows>| rows.read().unwrap_or_else(PoisonError::into_inner).clone();
        let buckets = self.buckets.iter();
        Self {
            state: self.state.clone(),
            letters: self.letters.clone(),
            buckets: buckets
                .map(|(name, rows)| (*name, Arc::new(RwLock::new(copy(rows)))))
                .collect(),
        }
    }
}

fn put(map: &mut BTreeMap<Vec<u8>, Bytes>, pairs: &[(Vec<u8>, Option<Bytes>)]) {
    for (key, value) in pairs {
        match value {
            Some(value) => map.insert(key.clone(), value.clone()),
            None => map.remove(key),
        };
    }
}

/// The disk as one process has it open.
struct SimulatedBackend {
    disk: SimulatedDisk,
    process: u64,
}

impl SimulatedBackend {
    /// The disk, if the process is still alive.
    fn disk(&self) -> Result<MutexGuard<'_, Disk>, BackendError> {
        let disk = self.disk.lock();
        if disk.process == self.process {
            Ok(disk)
        } else {
            Err(ENDED.into())
        }
    }
}

impl Drop for SimulatedBackend {
    fn drop(&mut self) {
        if let Ok(mut disk) = self.disk() {
            disk.end_process();
        }
    }
}

impl Backend for SimulatedBackend {
    fn begin(&self) -> Result<(), BackendError> {
        let is_mirror = self.disk()?.now.state.contains_key(state::MIRROR);
        let version = if is_mirror {
            state::MIRROR_FORMAT
        } else {
            state::FORMAT
        };
        let mut batch = Batch::default();
        batch.set(state::VERSION.to_vec(), version.to_le_bytes().to_vec());
        self.write(&batch)
    }

    fn create_bucket(&self, name: BucketName) -> Result<Arc<dyn Bucket>, BackendError> {
        let mut disk = self.disk()?;
        disk.sync()?;
        disk.change(Change::Create(name))?;
        let rows = disk.now.buckets.get(&name).ok_or(GONE)?;
        Ok(Arc::new(SimulatedBucket(Arc::clone(rows))))
    }

    fn delete_bucket(&self, name: BucketName) -> Result<(), BackendError> {
        let mut disk = self.disk()?;
        disk.sync()?;
        disk.change(Change::Delete(name))
    }

    fn write(&self, batch: &Batch) -> Result<(), BackendError> {
        let mut disk = self.disk()?;
        let events = batch
            .blocks
            .iter()
            .map(|row| BucketName::Events(row.bucket));
        let frames = batch
            .frames
            .iter()
            .map(|row| BucketName::Frames(row.bucket));
        let accounts = batch.accounts.iter();
        let accounts = accounts.map(|row| BucketName::Accounts(row.bucket));
        if let Some(name) = events
            .chain(frames)
            .chain(accounts)
            .find(|name| !disk.now.buckets.contains_key(name))
        {
            return Err(format!("{GONE}: {name:?}").into());
        }
        disk.change(Change::Write(batch.clone()))
    }

    fn sync(&self) -> Result<(), BackendError> {
        self.disk()?.sync()
    }

    fn take_stock(&self) -> Result<(), BackendError> {
        self.sync()
    }

    fn reserve(&self, reserved: Reserved) -> Result<(), BackendError> {
        let mut disk = self.disk()?;
        disk.check()?;
        disk.mark = reserved;
        disk.marked = Some(disk.starts);
        Ok(())
    }

    fn release(&self, used: Reserved) -> Result<(), BackendError> {
        self.take_stock()?;
        let stored = self.disk()?.mark;
        if used.covers(stored) {
            return Ok(());
        }
        self.reserve(used)
    }

    fn reopen(&self) -> Result<(), BackendError> {
        let mut disk = self.disk()?;
        if disk.is_full {
            return Err(FULL.into());
        }
        disk.has_failed = false;
        Ok(())
    }

    fn keeps_state(&self) -> bool {
        true
    }

    fn letters(
        &self,
        prefix: &[u8],
        from: &[u8],
        max: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, BackendError> {
        let disk = self.disk()?;
        let pairs = disk.now.letters.range(from.to_vec()..);
        let own = pairs.take_while(|(key, _)| key.starts_with(prefix));
        let own = own.take(max);
        Ok(own
            .map(|(key, value)| (key.clone().into(), value.clone()))
            .collect())
    }

    fn overhead_bytes(&self) -> u64 {
        0
    }
}

struct SimulatedBucket(Arc<RwLock<Rows>>);

impl SimulatedBucket {
    fn part(
        &self,
        key: &BlockKey,
        part: impl FnOnce(&BlockParts) -> Option<Bytes>,
    ) -> Option<Bytes> {
        let rows = self.0.read().unwrap_or_else(PoisonError::into_inner);
        rows.blocks.get(&key.first_seq).and_then(part)
    }
}

impl Bucket for SimulatedBucket {
    fn keys(&self) -> Result<Vec<BlockKey>, BackendError> {
        let rows = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Ok(rows.blocks.values().map(|parts| parts.key).collect())
    }

    fn index(&self, key: &BlockKey) -> Result<Option<Bytes>, BucketError> {
        Ok(self.part(key, |parts| Some(parts.index.clone())))
    }

    fn payload(&self, key: &BlockKey) -> Result<Option<Bytes>, BucketError> {
        Ok(self.part(key, |parts| Some(parts.payload.clone())))
    }

    fn cursors(&self, key: &BlockKey) -> Result<Option<Bytes>, BucketError> {
        Ok(self.part(key, |parts| parts.cursors.clone()))
    }

    fn frames(&self, log: u32, from: u64, bytes: usize) -> Result<Vec<(u64, Bytes)>, BucketError> {
        let rows = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let (mut found, mut taken) = (Vec::new(), 0);
        for ((_, seq), frame) in rows.frames.range((log, from)..=(log, u64::MAX)) {
            taken += frame.len();
            if taken > bytes && !found.is_empty() {
                break;
            }
            found.push((*seq, frame.clone()));
        }
        Ok(found)
    }

    fn account(&self, key: &[u8]) -> Result<Option<Bytes>, BackendError> {
        let rows = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Ok(rows.accounts.get(key).cloned())
    }

    fn size(&self) -> (u64, u64) {
        let rows = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let bytes = |(key, value): (&Vec<u8>, &Bytes)| (key.len() + value.len()) as u64;
        let accounts = rows.accounts.iter();
        (accounts.map(bytes).sum(), rows.accounts.len() as u64)
    }
}

const FULL: &str = "the simulated disk is full";
const ENDED: &str = "the simulated process has ended";
const GONE: &str = "the bucket is gone";
