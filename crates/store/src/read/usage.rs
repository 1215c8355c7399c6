use crate::options::Retention;
use crate::seq::Seq;

use super::store::Store;

impl Store {
    /// How long events stay, and in how many bytes.
    #[must_use]
    pub fn retention(&self) -> Retention {
        self.ring().retention.get()
    }

    /// Changes how long events stay, from the next [trim](crate::Appender::trim) on. Buckets that
    /// have been begun keep their size.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use jetwash_store::{Location, Options, Retention, open};
    ///
    /// let (_appender, store) = open(Location::Memory, Options::default())?;
    /// let week = Some(Duration::from_secs(7 * 24 * 3600));
    /// store.set_retention(Retention { max_age: week, ..store.retention() });
    /// assert_eq!(store.retention().max_age, week);
    /// # Ok::<(), jetwash_store::OpenError>(())
    /// ```
    pub fn set_retention(&self, retention: Retention) {
        self.ring().retention.set(retention);
    }

    /// The memory that the ring takes, its buckets and its accounts. Reads nothing from the disk.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let view = self.view();
        let hot = view.hot.front();
        let accounts = self.ring().account_total.get();
        Usage {
            buckets: view.buckets.len(),
            hot_seq: hot.map_or(view.next_seq, |(block, _)| block.first_seq()),
            hot_bytes: view.hot_bytes,
            cache_bytes: self.ring().cache.bytes(),
            account_bytes: accounts.bytes,
            account_entries: accounts.entries,
            account_entries_dropped: accounts.dropped,
        }
    }
}

/// The memory of a ring, its buckets and its accounts.
///
/// # Examples
///
/// ```
/// use jetwash_store::{Location, Options, open};
///
/// let (_appender, store) = open(Location::Memory, Options::default())?;
/// let usage = store.usage();
/// assert_eq!((usage.buckets, usage.hot_bytes, usage.cache_bytes), (0, 0, 0));
/// # Ok::<(), jetwash_store::OpenError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// The number of buckets, one of which is dropped at a time.
    pub buckets: usize,
    /// The position of the oldest event that [`Store::read_hot`] can read.
    pub hot_seq: Seq,
    /// The memory of the newest events.
    pub hot_bytes: usize,
    /// The memory of the blocks that were read from disk.
    pub cache_bytes: usize,
    /// The bytes that the states of accounts take on disk, as of the last trim; 0 in memory.
    pub account_bytes: u64,
    /// About how many entries they are: up to two for each account.
    pub account_entries: u64,
    /// About how many were dropped since the ring was opened. An account is forgotten with its last one.
    pub account_entries_dropped: u64,
}
