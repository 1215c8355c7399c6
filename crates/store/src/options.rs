use std::path::PathBuf;
use std::time::Duration;

use crate::error::OpenError;

/// The place of a ring.
///
/// # Examples
///
/// ```
/// use jetwash_store::{Location, Options, Seq, open};
///
/// let folder = tempfile::tempdir()?;
/// let on_disk = Location::Disk(folder.path().join("ring"));
/// let (appender, _store) = open(on_disk, Options::default())?;
/// assert_eq!(appender.next_seq(), Seq::FIRST);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Location {
    /// In memory, and gone with the process.
    Memory,
    /// In a folder, which is created if it does not exist and belongs to the ring alone.
    Disk(PathBuf),
    /// On a disk in memory whose faults a test plays. Nothing there blocks.
    #[cfg(feature = "crash-points")]
    #[doc(hidden)]
    Simulated(crate::testing::SimulatedDisk),
}

/// How long events stay. Both bounds hold where both are set.
///
/// The ring forgets whole buckets, each a small part of it, so it keeps events up to one bucket
/// longer than `max_age`. Nothing is forgotten outside [`Appender::trim`](crate::Appender::trim).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use jetwash_store::Retention;
///
/// let three_days_and_40_gib = Retention {
///     max_age: Some(Duration::from_secs(3 * 24 * 3_600)),
///     max_bytes: Some(40 << 30),
/// };
/// assert_ne!(three_days_and_40_gib, Retention::default());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// The age at which an event is too old, judged by its `time_us`.
    pub max_age: Option<Duration>,
    /// The bytes that the ring takes in its backend, journal included. Raw frames have a bound of
    /// their own.
    ///
    /// On disk the ring stays within this, and a slack of a bucket, whatever the rate at which
    /// events come, if it is trimmed whenever [`is_trim_due`](crate::Appender::is_trim_due) says
    /// so. But the journal of the storage engine has files of up to 64 MiB, of which there may be
    /// two, and it is not let to push the events below half of this bound: if that is less than
    /// 256 MiB, the slack is up to 128 MiB.
    pub max_bytes: Option<u64>,
}

/// The failures that a commit survives. With each of them, no position and no time that a reader has
/// seen is given out again: after a power failure the ring continues behind them, and readers are told
/// ([`Read::Gap`](crate::Read::Gap)).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use jetwash_store::{Durability, Options};
///
/// let options = Options::default().durability(Durability::Synced(Duration::from_secs(1)));
/// assert_ne!(options.durability, Durability::default());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// A crash of the process. A power failure takes back the commits since the last sync, events
    /// and cursors alike, and nothing else; a sync also happens each time a few megabytes of
    /// events have come together.
    #[default]
    Buffered,
    /// As `Buffered`, with a sync by the first [`commit`](crate::Appender::commit) after that much
    /// time, even one that has nothing to write: a power failure takes back no commit that is older.
    Synced(Duration),
    /// Each commit survives a power failure. Costs a sync of the disk each time.
    SyncedBatch,
}

/// The settings of a ring. The defaults suit a process of about 16 MB that keeps one day.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use jetwash_store::{Options, Retention};
///
/// let options = Options::default()
///     .retention(Retention {
///         max_age: Some(Duration::from_secs(3 * 24 * 3600)),
///         max_bytes: Some(40 << 30),
///     })
///     .hot_bytes(64 << 20);
/// assert_eq!(options.hot_bytes, 64 << 20);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// How long events stay. Defaults to one day, in any number of bytes.
    pub retention: Retention,
    /// The events that make a block full: up to 16,384. Defaults to 512. Larger blocks compress
    /// and scan better, and cost more to unpack for a reader that wants one event.
    pub block_events: usize,
    /// The bytes of JSON that make a block full before it has that many events. Defaults to 1 MiB.
    pub block_bytes: usize,
    /// The events that make a bucket full. The ring is trimmed by whole buckets. Defaults to
    /// 1,000,000.
    pub bucket_events: u64,
    /// The bytes that make a bucket full. Defaults to a 32nd of [`Retention::max_bytes`], between
    /// 1 MiB and 1 GiB.
    pub bucket_bytes: Option<u64>,
    /// The age that makes a bucket full. Defaults to a 24th of [`Retention::max_age`].
    pub bucket_age: Option<Duration>,
    /// The memory for the newest events, which are kept ready to send. Defaults to 4 MiB.
    pub hot_bytes: usize,
    /// The memory for blocks read from disk and what was unpacked of them, shared by all readers.
    /// The storage engine's own cache takes a sixteenth as much again. Defaults to 4 MiB.
    pub cache_bytes: usize,
    /// The size at which the storage engine writes a buffer out. Defaults to 2 MiB. There is one for
    /// the newest events, one for full blocks, and one for raw frames if they are kept. Each time
    /// costs several syncs of the disk, so while more comes in than the disk takes, the buffer for
    /// full blocks grows up to four times that, beside one of the same size that is being written;
    /// then the appender waits.
    pub memtable_bytes: u64,
    /// The bytes that raw upstream frames may take, in a ring of their own. By default no frames are
    /// kept, and a ring that has some forgets them.
    ///
    /// The newest frames of each source are in memory as well, up to 1 MiB.
    pub frame_bytes: Option<u64>,
    /// The time for which an account is remembered at least after its
    /// [state](crate::Appender::set_account) was set last, judged by the times of the events. It is
    /// forgotten before twice that time is over. Defaults to 90 days. At least
    /// [`Retention::max_age`] counts.
    pub forget_accounts_after: Duration,
    /// The bytes on disk above which accounts are forgotten before that time, those that were set
    /// least recently first. Defaults to a quarter of [`Retention::max_bytes`], between 64 MiB and
    /// 16 GiB; to 16 GiB if that is not set.
    pub account_bytes: Option<u64>,
    /// The failures that a commit survives. Defaults to a crash of the process.
    pub durability: Durability,
}

impl Options {
    /// Sets [`Options::retention`].
    #[must_use]
    pub const fn retention(mut self, retention: Retention) -> Self {
        self.retention = retention;
        self
    }

    /// Sets [`Options::block_events`].
    #[must_use]
    pub const fn block_events(mut self, events: usize) -> Self {
        self.block_events = events;
        self
    }

    /// Sets [`Options::block_bytes`].
    #[must_use]
    pub const fn block_bytes(mut self, bytes: usize) -> Self {
        self.block_bytes = bytes;
        self
    }

    /// Sets [`Options::bucket_events`].
    #[must_use]
    pub const fn bucket_events(mut self, events: u64) -> Self {
        self.bucket_events = events;
        self
    }

    /// Sets [`Options::bucket_bytes`].
    #[must_use]
    pub const fn bucket_bytes(mut self, bytes: u64) -> Self {
        self.bucket_bytes = Some(bytes);
        self
    }

    /// Sets [`Options::bucket_age`].
    #[must_use]
    pub const fn bucket_age(mut self, age: Duration) -> Self {
        self.bucket_age = Some(age);
        self
    }

    /// Divides a number of bytes among all that the ring holds in memory, which then stays within
    /// them: an eighth each for the [newest events](Options::hot_bytes) and for
    /// [what is read](Options::cache_bytes) from disk, and the rest for the
    /// [buffers](Options::memtable_bytes), of which it needs a quarter unless more comes in than
    /// the disk takes. The defaults are those of 32 MiB.
    ///
    /// Raw frames, if they are kept, and blocks that readers hold come on top. A ring in memory
    /// holds its events as well, of course.
    #[must_use]
    pub const fn memory_budget(mut self, bytes: usize) -> Self {
        self.hot_bytes = bytes / 8;
        self.cache_bytes = bytes / 8;
        let memtable = bytes as u64 / 16;
        self.memtable_bytes = if memtable < LEAST_MEMTABLE {
            LEAST_MEMTABLE
        } else {
            memtable
        };
        self
    }

    /// Sets [`Options::hot_bytes`].
    #[must_use]
    pub const fn hot_bytes(mut self, bytes: usize) -> Self {
        self.hot_bytes = bytes;
        self
    }

    /// Sets [`Options::cache_bytes`].
    #[must_use]
    pub const fn cache_bytes(mut self, bytes: usize) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// Sets [`Options::memtable_bytes`].
    #[must_use]
    pub const fn memtable_bytes(mut self, bytes: u64) -> Self {
        self.memtable_bytes = bytes;
        self
    }

    /// Sets [`Options::frame_bytes`].
    #[must_use]
    pub const fn keep_frames(mut self, bytes: u64) -> Self {
        self.frame_bytes = Some(bytes);
        self
    }

    /// Sets [`Options::forget_accounts_after`].
    #[must_use]
    pub const fn forget_accounts_after(mut self, age: Duration) -> Self {
        self.forget_accounts_after = age;
        self
    }

    /// Sets [`Options::account_bytes`].
    #[must_use]
    pub const fn account_bytes(mut self, bytes: u64) -> Self {
        self.account_bytes = Some(bytes);
        self
    }

    /// Sets [`Options::durability`].
    #[must_use]
    pub const fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    pub(crate) fn check(&self) -> Result<(), OpenError> {
        let within = |option, value: u64, least: u64, most: u64, why| {
            if (least..=most).contains(&value) {
                Ok(())
            } else {
                Err(OpenError::Option { option, value, why })
            }
        };
        // Only what could not work at all: small values are slow, and tests use them.
        within(
            "block_events",
            self.block_events as u64,
            1,
            MAX_BLOCK_EVENTS as u64,
            "it must be between 1 and 16384",
        )?;
        within(
            "block_bytes",
            self.block_bytes as u64,
            1,
            MAX_BLOCK_BYTES as u64,
            "it must be between 1 byte and 64 MiB",
        )?;
        within(
            "bucket_events",
            self.bucket_events,
            1,
            1 << 31,
            "it must be between 1 and 2^31",
        )?;
        within(
            "memtable_bytes",
            self.memtable_bytes,
            LEAST_MEMTABLE,
            1 << 30,
            "it must be between 64 KiB and 1 GiB",
        )
    }

    /// For the trees of the storage engine, which hold keys alone: the ring caches blocks itself.
    /// The engine would put those in here too. It is so small that they do not fit, as they would
    /// only take the place of keys, and of the processor's cache.
    pub(crate) const fn engine_cache_bytes(&self) -> u64 {
        self.cache_bytes as u64 / 16
    }

    pub(crate) fn bucket_byte_limit(&self) -> u64 {
        let share = self
            .retention
            .max_bytes
            .map_or(u64::MAX, |bytes| bytes / 32);
        self.bucket_bytes
            .unwrap_or_else(|| share.clamp(1 << 20, 1 << 30))
    }

    pub(crate) fn account_age_limit(&self) -> Duration {
        let events = self.retention.max_age.unwrap_or_default();
        self.forget_accounts_after.max(events)
    }

    pub(crate) fn account_byte_limit(&self) -> u64 {
        let share = self.retention.max_bytes.map_or(u64::MAX, |bytes| bytes / 4);
        self.account_bytes
            .unwrap_or_else(|| share.clamp(64 << 20, 16 << 30))
    }

    pub(crate) fn bucket_age_limit(&self) -> Duration {
        let share = || self.retention.max_age.map(|age| age / 24);
        self.bucket_age.or_else(share).unwrap_or(Duration::MAX)
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            retention: Retention {
                max_age: Some(Duration::from_secs(24 * 3600)),
                max_bytes: None,
            },
            block_events: 512,
            block_bytes: 1 << 20,
            bucket_events: 1_000_000,
            bucket_bytes: None,
            bucket_age: None,
            hot_bytes: 4 << 20,
            cache_bytes: 4 << 20,
            memtable_bytes: 2 << 20,
            frame_bytes: None,
            forget_accounts_after: Duration::from_secs(90 * 24 * 3600),
            account_bytes: None,
            durability: Durability::Buffered,
        }
    }
}

/// Table indexes have 16 bits, and a merged block has less than twice the events of a full one.
const MAX_BLOCK_EVENTS: usize = 16_384;
const LEAST_MEMTABLE: u64 = 1 << 16;
const MAX_BLOCK_BYTES: usize = 64 << 20;
