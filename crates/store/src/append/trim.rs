use std::sync::Arc;
use std::time::Duration;

use jetwash_event::Micros;

use super::appender::Appender;
use super::fill::Tail;
use crate::backend::{Batch, BucketName, state};
use crate::crash::crash_point;
use crate::error::StoreError;
use crate::ring::{AccountTotal, BucketView, View};
use crate::seq::Seq;

impl Appender {
    /// Whether about a bucket has been committed since the last [trim](Appender::trim), so that
    /// another should not wait if the ring is to stay within its bytes.
    #[must_use]
    pub fn is_trim_due(&self) -> bool {
        let is_bounded = self.options.retention.max_bytes.is_some();
        let frames = self.frames.as_ref().zip(self.ring.frames.as_ref());
        is_bounded && self.untrimmed >= self.options.bucket_byte_limit()
            || frames.is_some_and(|(frames, ring)| frames.is_over(ring))
    }

    /// Drops the oldest buckets: those that are older or more than the
    /// [retention](crate::Retention) says. Meant to be called every minute or so.
    ///
    /// `now_us` is not believed beyond what the machine's monotonic clock explains since the last
    /// trim, or, in the first, since the newest event that the ring was opened with: a clock that is
    /// far ahead takes one bucket a minute. So a clock that is wrong for a while empties no ring, and
    /// one that was not open for days forgets over some minutes what is too old.
    ///
    /// # Errors
    ///
    /// When it cannot be written. Some buckets may be gone from view all the same.
    pub fn trim(&mut self, now_us: Micros) -> Result<Trimmed, StoreError> {
        let elapsed = self.retention_clock.elapsed();
        self.trim_after(now_us, elapsed)
    }

    /// Trims as [`Appender::trim`] does, with the time that has passed since the last trim. With
    /// `Duration::MAX`, `now_us` is believed whatever it is.
    ///
    /// # Errors
    ///
    /// As [`Appender::trim`].
    pub fn trim_after(&mut self, now_us: Micros, elapsed: Duration) -> Result<Trimmed, StoreError> {
        self.untrimmed = 0;
        self.options.retention = self.ring.retention.get();
        self.trim_frames()?;
        let accounts = self.trim_accounts()?;
        let overhead = self.backend().overhead_bytes();
        let cutoff = self.cutoff(now_us, elapsed);
        let (buckets, everything, mut trimmed) = self.choose_trim(cutoff, overhead);
        trimmed.account_entries = accounts;
        if buckets == 0 && !everything {
            return Ok(trimmed);
        }
        // The floor first: buckets below it that a crash leaves behind are dropped by the next
        // opening, while events must not come back once readers were told that they are gone.
        let mut batch = Batch::default();
        batch.set(
            state::FLOOR.to_vec(),
            state::encode_numbers(&[trimmed.oldest_seq.get()]),
        );
        if everything {
            for slot in 0..self.tail.slots {
                batch.remove(state::tail_key(slot));
            }
        }
        for number in self.ring.view().noted_before(trimmed.oldest_seq) {
            batch.remove(state::noted_key(number));
        }
        self.write(&batch, "trim the ring")?;
        crash_point!("trim.floor_written");
        let dropped = self.publish_trim(buckets, everything);
        for first_seq in dropped {
            let name = BucketName::Events(first_seq);
            let deleted = self.backend().delete_bucket(name);
            deleted.map_err(StoreError::storage("drop a bucket"))?;
            crash_point!("trim.bucket_deleted");
        }
        self.forget_dictionaries(trimmed.oldest_seq)?;
        Ok(trimmed)
    }

    /// The time before which events are too old.
    fn cutoff(&mut self, now_us: Micros, elapsed: Duration) -> Micros {
        let Some(age) = self.options.retention.max_age else {
            return Micros::EPOCH;
        };
        let ring = Arc::clone(&self.ring);
        self.retention_clock.cutoff(now_us, elapsed, age, |time| {
            ends(&ring.view()).find(|end| *end > time)
        })
    }

    /// How many buckets to drop, and whether that is all there is, tail included.
    fn choose_trim(&self, cutoff: Micros, overhead: u64) -> (usize, bool, Trimmed) {
        let view = self.ring.view();
        let max_bytes = self.options.retention.max_bytes.unwrap_or(u64::MAX);
        // Journals count, but never push the events below half of the bound: the engine decides when it
        // removes them.
        let budget = max_bytes - overhead.min(max_bytes / 2);
        let mut bytes = view.bytes();

        let mut ends = ends(&view);
        let mut trimmed = Trimmed::default();
        let mut count = 0;
        for bucket in &view.buckets {
            // The newest bucket may go by age but not for its bytes: it is being filled.
            let expired = ends.next().is_some_and(|end| end <= cutoff);
            let too_much = bytes > budget && count + 1 < view.buckets.len();
            if !expired && !too_much {
                break;
            }
            count += 1;
            bytes -= bucket.bytes;
            trimmed.bytes += bucket.bytes;
        }
        let some = view.oldest_seq() < view.next_seq;
        let everything = some && count == view.buckets.len() && view.last_time < cutoff;
        if everything {
            trimmed.bytes += view.tail_bytes;
        }
        let tail_seq = view.tail().next().map(|piece| piece.first_seq());
        trimmed.oldest_seq = match view.buckets.get(count) {
            Some(bucket) => bucket.first_seq,
            None if everything => view.next_seq,
            None => tail_seq.unwrap_or(view.next_seq),
        };
        trimmed.events = trimmed.oldest_seq.since(view.oldest_seq());
        trimmed.buckets = count;
        (count, everything, trimmed)
    }

    fn publish_trim(&mut self, buckets: usize, everything: bool) -> Vec<Seq> {
        let ring = Arc::clone(&self.ring);
        let mut view = ring.view_mut();
        let dropped = view.drop_buckets(buckets);
        if everything {
            view.clear_tail();
        }
        let oldest = view.oldest_seq();
        view.forget_before(oldest);
        view.forget_noted_before(oldest);
        if everything {
            self.tail = Tail::default();
        }
        drop(view);
        ring.cache.forget_before(oldest);
        dropped.iter().map(|bucket| bucket.first_seq).collect()
    }

    fn trim_frames(&mut self) -> Result<(), StoreError> {
        let Some((frames, ring)) = self.frames.as_mut().zip(self.ring.frames.as_ref()) else {
            return Ok(());
        };
        let durable = &self.ring.durable;
        let mut batch = Batch::default();
        let count = frames.plan_trim(ring, &mut batch);
        if count == 0 {
            return Ok(());
        }
        let written = durable.write(&batch);
        written.map_err(StoreError::storage("trim the frames"))?;
        for number in frames.publish_trim(ring, count) {
            let deleted = durable.backend().delete_bucket(BucketName::Frames(number));
            deleted.map_err(StoreError::storage("drop a bucket of frames"))?;
        }
        Ok(())
    }

    /// Drops the accounts that were not set for too long. Time is that of the events: where none come,
    /// nothing grows.
    fn trim_accounts(&mut self) -> Result<u64, StoreError> {
        let (age, max_bytes) = (
            self.options.account_age_limit(),
            self.options.account_byte_limit(),
        );
        let backend = self.ring.durable.backend();
        let rotated = self
            .accounts
            .rotate(self.last_time, age, max_bytes, backend);
        let dropped = rotated.map_err(StoreError::storage("forget accounts"))?;
        let (bytes, entries) = self.accounts.size();
        let before = self.ring.account_total.get().dropped;
        self.ring.account_total.set(AccountTotal {
            bytes,
            entries,
            dropped: before + dropped,
        });
        Ok(dropped)
    }

    /// Forgets the dictionaries that no event needs any more.
    fn forget_dictionaries(&mut self, oldest_seq: Seq) -> Result<(), StoreError> {
        // The first use is over where the second begins.
        let over = self
            .uses
            .windows(2)
            .take_while(|pair| pair[1].0 <= oldest_seq)
            .count();
        if over == 0 {
            return Ok(());
        }
        let uses = self.uses[over..].to_vec();
        let needed = |id: u32| uses.iter().any(|(_, used)| *used == id);
        let mut gone: Vec<u32> = self.uses[..over].iter().map(|(_, id)| *id).collect();
        gone.retain(|id| !needed(*id));
        let mut batch = Batch::default();
        batch.set(state::USES.to_vec(), state::encode_uses(&uses));
        for id in &gone {
            batch.remove(state::dictionary_key(*id));
        }
        self.write(&batch, "forget a dictionary")?;
        gone.iter()
            .for_each(|id| self.ring.dictionaries.remove(*id));
        self.uses = uses;
        Ok(())
    }
}

/// The events and the states of accounts that a trim dropped.
///
/// # Examples
///
/// ```
/// # use jetwash_store::{CommitPart, EventKind, Location, Micros, NewEvent, Options, Read, Seq, open};
/// # let (mut appender, store) = open(Location::Memory, Options::default())?;
/// # appender.push(&NewEvent {
/// #     kind: EventKind::Create,
/// #     did: "did:plc:z72i7hdynmk6r22z27h6tvur",
/// #     collection: "app.bsky.feed.post",
/// #     commit: CommitPart::WHOLE,
/// #     source: "wss://relay.example",
/// #     verdict: 0,
/// #     time_us: Micros::new(1_700_000_000_000_000),
/// #     json: b"{}",
/// #     compressed: None,
/// # })?;
/// # appender.commit()?;
/// use std::time::Duration;
///
/// let two_days = Duration::from_secs(2 * 24 * 3_600);
/// let later = Micros::new(1_700_000_000_000_000).plus(two_days);
/// let trimmed = appender.trim_after(later, Duration::MAX)?;
/// assert_eq!((trimmed.events, trimmed.oldest_seq), (1, Seq::new(2)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Trimmed {
    /// The number of events.
    pub events: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The number of buckets.
    pub buckets: usize,
    /// About how many entries of accounts: those that were not set for too long. An account of which
    /// a later entry is left is not forgotten.
    pub account_entries: u64,
    /// The position of the oldest event that is left; in an empty ring, that of the next one.
    pub oldest_seq: Seq,
}

/// The times at which the buckets are over, and that of the tail.
fn ends(view: &View) -> impl Iterator<Item = Micros> {
    let first_times = view.buckets.iter().map(BucketView::first_time);
    let tail_time = view.tail().next().map(|piece| piece.index().first_time());
    // A bucket's events are older than the first that follows it.
    let ends = first_times.chain(tail_time).skip(1);
    ends.chain([view.last_time.next()])
}
