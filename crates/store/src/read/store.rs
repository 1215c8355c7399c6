use std::fmt;
use std::sync::{Arc, RwLockReadGuard};

use jetwash_dict::Dictionary;
use jetwash_event::Micros;
use tokio::sync::watch;

use crate::backend::BucketError;
use crate::block::{Block, Cold, decode_index};
use crate::error::StoreError;
use crate::gap::Gap;
use crate::identity::LogId;
use crate::ring::{ColdPlace, Read, Ring, View};
use crate::seq::Seq;

/// The read side of a ring: cheap to clone, for any number of readers.
///
/// A reader is nothing but a position. It reads from there until it is told [`Read::AtTip`], waits
/// for [`Store::tip`] to change, and reads on: playback and live tail are the same loop.
///
/// # Examples
///
/// ```
/// use jetwash_store::{CommitPart, EventKind, Location, Micros, NewEvent, Options, Read, open};
///
/// let (mut appender, store) = open(Location::Memory, Options::default())?;
/// for text in ["{\"a\":1}", "{\"a\":2}"] {
///     let time_us = appender.next_time_us(Micros::new(1_700_000_000_000_000));
///     appender.push(&NewEvent {
///         kind: EventKind::Create,
///         did: "did:plc:z72i7hdynmk6r22z27h6tvur",
///         collection: "app.bsky.feed.post",
///         commit: CommitPart::WHOLE,
///         source: "wss://relay.example",
///         verdict: 0,
///         time_us,
///         json: text.as_bytes(),
///         compressed: None,
///     })?;
/// }
/// appender.commit()?;
///
/// let (mut position, mut seen) = (store.bounds().oldest_seq, Vec::new());
/// loop {
///     match store.read(position)? {
///         Read::Events(run) => {
///             let json = run.block().json()?;
///             for index in run.indexes() {
///                 seen.push(json.get(index).unwrap_or_default().to_vec());
///             }
///             position = run.next_seq();
///         }
///         Read::AtTip => break,
///         Read::Gap(gap) => position = gap.next_seq,
///     }
/// }
/// assert_eq!(seen, [b"{\"a\":1}", b"{\"a\":2}"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Store {
    ring: Arc<Ring>,
}

impl Store {
    pub(crate) const fn new(ring: Arc<Ring>) -> Self {
        Self { ring }
    }

    /// The identity of this log, to be kept with each cursor that is kept elsewhere. Costs nothing.
    #[must_use]
    pub fn log_id(&self) -> LogId {
        self.ring.identity.id()
    }

    /// Whether the ring is a [mirror](crate::Appender::become_mirror) of another's log, which gives out
    /// the positions. Costs nothing.
    #[must_use]
    pub fn is_mirror(&self) -> bool {
        self.ring.identity.is_mirror()
    }

    /// The position of the ring's next event, changed by each commit.
    ///
    /// Waiting on it is an error once the [`Appender`](crate::Appender) is gone. A new
    /// receiver may report one change too many.
    #[must_use]
    pub fn tip(&self) -> watch::Receiver<Seq> {
        self.ring.tip.clone()
    }

    /// Whether calls may block. Only in a ring on a disk that a test simulates they may not.
    #[doc(hidden)]
    #[must_use]
    pub fn may_block(&self) -> bool {
        self.ring.dictionaries.may_block()
    }

    /// Reads events from a position on. May block on the disk: see [`Store::read_hot`].
    ///
    /// Missing or damaged events are a [`Read::Gap`] and not an error: reading continues behind it.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub fn read(&self, from: Seq) -> Result<Read, StoreError> {
        let from = from.max(Seq::FIRST);
        // Looked up under the lock and loaded without it: the disk must not hold up the appender.
        let place = {
            let view = self.ring.view();
            if let Some(read) = view.look(from) {
                return Ok(read);
            }
            match view.cold_block(from) {
                Some(place) => place,
                // In the ring by its bounds, and in no block: a bucket lacks it.
                None => {
                    let next = view.next_block_after(from);
                    return Ok(Read::Gap(view.damaged(from, next, MISSING)));
                }
            }
        };
        let next_seq = place.next_seq;
        let (next_seq, what) = match self.load(place) {
            Ok(block) if from < block.next_seq() => {
                debug_assert!(block.first_seq() <= from, "a block before the position");
                return Ok(Read::Events(self.ring.view().run(&block, from)));
            }
            // The block is whole and ends before the position: the one that had it is missing.
            Ok(_) => (next_seq, MISSING),
            Err(StoreError::Corrupt { next_seq, what, .. }) => (next_seq, what),
            Err(error) => return Err(error),
        };
        let view = self.ring.view();
        // What could not be read may have been trimmed meanwhile. That is no damage.
        if let Some(read) = view.look(from) {
            return Ok(read);
        }
        let next_seq = match next_seq {
            next_seq if next_seq > from => next_seq,
            _ => view.next_block_after(from),
        };
        Ok(Read::Gap(view.damaged(from, next_seq, what)))
    }

    /// Reads as [`Store::read`] does, but only from memory: neither it nor the block's compressed events
    /// and JSON ever wait for the disk, and nothing is decompressed, unless the block was recovered on
    /// opening.
    ///
    /// `None` says to call [`Store::read`], where blocking is allowed.
    #[must_use]
    pub fn read_hot(&self, from: Seq) -> Option<Read> {
        self.ring.view().look(from.max(Seq::FIRST))
    }

    /// Returns the known gaps of upstreams that lie before the events at positions from `first` on and
    /// before `next`, in order.
    ///
    /// A reader gets those before events with them, in [`Run::gaps`](crate::Run::gaps). This is for one that passes
    /// over positions, because there is a gap in the log itself. The newest 1,024 are kept, and
    /// forgotten with the events around them.
    #[must_use]
    pub fn noted_gaps(&self, first: Seq, next: Seq) -> Vec<Gap> {
        self.ring.view().noted_in(first, next)
    }

    /// Finds the position of the first event at or after a time; that of the next event if there is no
    /// such event yet. May block on the disk, for one block. If that is damaged, it is the block's
    /// first position, where a reader is told of the damage.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub fn seq_at_time(&self, time_us: Micros) -> Result<Seq, StoreError> {
        let seq = self.find_time(time_us)?;
        Ok(self.ring.view().after_gap(seq))
    }

    fn find_time(&self, time_us: Micros) -> Result<Seq, StoreError> {
        let place = {
            let view = self.ring.view();
            if view.oldest_time().is_none_or(|oldest| time_us <= oldest) {
                return Ok(view.oldest_seq());
            }
            // Times increase with positions, so each step is a search among first times.
            if time_us > view.last_time {
                return Ok(view.next_seq);
            }
            let after = view
                .hot
                .partition_point(|(block, _)| block.index().first_time() <= time_us);
            if let Some((block, _)) = after.checked_sub(1).and_then(|index| view.hot.get(index)) {
                return Ok(block.first_seq().plus(block.index_at_time(time_us) as u64));
            }
            match view.cold_block_at_time(time_us) {
                Some(place) => place,
                None => return Ok(view.oldest_seq()),
            }
        };
        let (first_seq, next_seq) = (place.key.first_seq, place.next_seq);
        let block = match self.load(place) {
            Err(StoreError::Corrupt { .. }) => return Ok(first_seq),
            loaded => loaded?,
        };
        match block.index_at_time(time_us) {
            index if index == block.len() => Ok(next_seq),
            index => Ok(block.first_seq().plus(index as u64)),
        }
    }

    /// Returns a dictionary that events in the ring are compressed with.
    #[must_use]
    pub fn dictionary(&self, id: u32) -> Option<Dictionary> {
        self.ring.dictionaries.get(id)
    }

    /// Returns all dictionaries that events in the ring are compressed with, the one used last at the end.
    #[must_use]
    pub fn dictionaries(&self) -> Vec<Dictionary> {
        self.ring.dictionaries.all()
    }

    pub(crate) const fn ring(&self) -> &Arc<Ring> {
        &self.ring
    }

    pub(crate) fn view(&self) -> RwLockReadGuard<'_, View> {
        self.ring.view()
    }

    fn load(&self, place: ColdPlace) -> Result<Arc<Block>, StoreError> {
        let ColdPlace {
            bucket,
            key,
            next_seq,
        } = place;
        if let Some(block) = self.ring.cache.get(key.first_seq) {
            return Ok(block);
        }
        let corrupt = |what| StoreError::Corrupt {
            first_seq: key.first_seq,
            next_seq,
            what,
        };
        let bytes = bucket
            .index(&key)
            .map_err(|error| match error {
                BucketError::Damaged => corrupt("the storage engine finds the index changed"),
                BucketError::Failed(source) => StoreError::storage("read a block's index")(source),
            })?
            .ok_or_else(|| corrupt(MISSING))?;
        let index = decode_index(&bytes).map_err(|damage| corrupt(damage.0))?;
        // The key is outside the checksum: a block may be whole and stand in the wrong place.
        if index.first_seq != key.first_seq || index.next_seq() > next_seq {
            return Err(corrupt("the block holds other events than it should"));
        }
        let cache = Arc::downgrade(&self.ring.cache);
        let cold = Cold { bucket, key, cache };
        let block = Block::cold(index, cold, Arc::clone(&self.ring.dictionaries));
        let bytes = block.memory();
        Ok(self
            .ring
            .cache
            .insert(key.first_seq, Arc::new(block), bytes))
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("Store")
            .field(&self.bounds())
            .finish()
    }
}

const MISSING: &str = "they are missing";
