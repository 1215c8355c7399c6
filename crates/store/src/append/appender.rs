use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use jetwash_dict::{Compressor, Dictionary};
use jetwash_event::Micros;
use tokio::sync::watch;

use super::account_state::AccountState;
use super::accounts::{AccountBucket, Accounts};
use super::cursors::Cursors;
use super::fill::Tail;
use super::retention_clock::RetentionClock;
use crate::backend::{Backend, Batch, Reserved, state};
use crate::block::{Block, BlockBuilder};
use crate::error::StoreError;
use crate::event::{NewEvent, PushError};
use crate::frames::FrameWriter;
use crate::gap::{Gap, GapCause, MAX_NOTED, Noted, UpstreamGap};
use crate::options::Options;
use crate::read::Store;
use crate::ring::{AccountTotal, Ring};
use crate::seq::Seq;
use crate::skipped::Skipped;

/// The write side of a ring. There is one, and its calls block on the disk: it belongs on a
/// thread of its own.
///
/// Events are pushed, then committed together with the upstream cursors that they advance. Events
/// that are not committed are not visible, and lost when the appender is dropped.
///
/// # Examples
///
/// ```
/// use jetwash_store::{CommitPart, EventKind, Location, Micros, NewEvent, Options, open};
///
/// let (mut appender, store) = open(Location::Memory, Options::default())?;
/// let time_us = appender.next_time_us(Micros::new(1_700_000_000_000_000));
/// let seq = appender.push(&NewEvent {
///     kind: EventKind::Delete,
///     did: "did:plc:z72i7hdynmk6r22z27h6tvur",
///     collection: "app.bsky.feed.like",
///     commit: CommitPart::WHOLE,
///     source: "wss://relay.example",
///     verdict: 0,
///     time_us,
///     json: b"{}",
///     compressed: None,
/// })?;
/// appender.set_cursor("wss://relay.example", 4_711);
/// assert_eq!(store.bounds().next_seq, seq);
/// appender.commit()?;
/// assert_eq!(store.bounds().next_seq, seq.next());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Appender {
    pub(super) ring: Arc<Ring>,
    pub(super) options: Options,
    pub(super) tip: watch::Sender<Seq>,
    pub(super) builder: BlockBuilder,
    pub(super) merger: BlockBuilder,
    /// For full blocks that are not compressed.
    pub(super) packer: Compressor,
    /// Pushed and not committed, apart from what is in `builder`.
    pub(super) sealed: Vec<Arc<Block>>,
    pub(super) tail: Tail,
    pub(super) next_seq: Seq,
    pub(super) last_time: Micros,
    pub(super) cursors: Cursors,
    pub(super) accounts: Accounts,
    /// Gaps of upstreams, noted since the last commit.
    pub(super) noted: Vec<Noted>,
    pub(super) next_note: u64,
    /// Positions left out since the last commit.
    pub(super) skipped: Vec<Skipped>,
    pub(super) dictionary: Option<u32>,
    /// Sent by the origin of a mirror, and not needed yet.
    pub(super) offered: Option<Dictionary>,
    /// Which dictionary was used from which position on.
    pub(super) uses: Vec<(Seq, u32)>,
    /// Positions and times up to here are given out before the mark on disk has to be moved.
    pub(super) reserved: Reserved,
    pub(super) frames: Option<FrameWriter>,
    /// The bytes committed since the last trim.
    pub(super) untrimmed: u64,
    pub(super) retention_clock: RetentionClock,
}

impl Appender {
    /// The position that the next event pushed will get: 1 in a new ring, and never one that was
    /// given out before.
    #[must_use]
    pub const fn next_seq(&self) -> Seq {
        self.next_seq
    }

    /// The time for the next event: `now_us`, or just above the time of the event before it if
    /// the clock stands still or went back.
    #[must_use]
    pub fn next_time_us(&self, now_us: Micros) -> Micros {
        now_us.max(self.last_time.next())
    }

    /// Adds an event, to be committed later, and returns its position.
    ///
    /// # Errors
    ///
    /// When its time is not above that of the event before it, a part of it is too long, it is
    /// compressed although no dictionary is set, or the ring is a mirror. Nothing is added then.
    pub fn push(&mut self, event: &NewEvent<'_>) -> Result<Seq, PushError> {
        if self.ring.identity.is_mirror() {
            return Err(PushError::Mirror);
        }
        self.check(event)?;
        Ok(self.push_checked(event))
    }

    /// Adds an event that has been checked.
    pub(super) fn push_checked(&mut self, event: &NewEvent<'_>) -> Seq {
        let dictionary = self.dictionary.filter(|_| event.compressed.is_some());
        let full = self.builder.len() >= self.options.block_events
            || self.builder.json_len() >= self.options.block_bytes;
        if full || !self.builder.accepts(dictionary) {
            self.seal();
        }
        let seq = self.next_seq;
        if self.builder.is_empty() {
            self.builder.start(seq, dictionary);
        }
        self.builder.push(event);
        self.next_seq = seq.next();
        self.last_time = event.time_us;
        seq
    }

    /// Notes how far an upstream has been read. Part of the next commit, so that the stored
    /// cursor is never ahead of the stored events.
    pub fn set_cursor(&mut self, name: &str, value: u64) {
        self.cursors.set(name, value);
    }

    /// The cursor set last under that name, in this process or an earlier one.
    #[must_use]
    pub fn cursor(&self, name: &str) -> Option<u64> {
        self.cursors.get(name)
    }

    /// All cursors by name.
    pub fn cursors(&self) -> impl Iterator<Item = (&str, u64)> {
        self.cursors.iter()
    }

    /// Returns the state of an account that was [set](Self::set_account) last, in this process or,
    /// on disk, in an earlier one.
    ///
    /// On disk, [`trim`](Self::trim) forgets accounts that were not set for
    /// [long](crate::Options::forget_accounts_after). A ring in memory forgets those that were neither
    /// set nor looked up for long. It keeps the last 114,000 at least, or 77,000 whose repository is
    /// known.
    ///
    /// # Errors
    ///
    /// When the disk cannot be read.
    pub fn account(&mut self, did: &str) -> Result<Option<AccountState>, StoreError> {
        let found = self.accounts.get(did);
        found.map_err(StoreError::storage("look up an account"))
    }

    /// Sets the state of an account, as part of the next commit: what follows from an event that
    /// was pushed becomes durable with it, or not at all.
    pub fn set_account(&mut self, did: &str, state: &AccountState) {
        self.accounts.set(did, state);
    }

    /// The position up to which the [states](Self::set_account) of accounts are complete. They may not
    /// cover the events in the ring from there on.
    #[must_use]
    pub const fn accounted_to(&self) -> Seq {
        self.accounts.covered()
    }

    /// Promises that every commit from now on sets the states that follow from its events, and that
    /// those of all earlier events are set: [`accounted_to`](Self::accounted_to) is the end of the ring
    /// from the next commit on.
    pub const fn keep_accounted(&mut self) {
        self.accounts.start_covering();
    }

    /// The side that reads.
    #[must_use]
    pub fn store(&self) -> Store {
        Store::new(Arc::clone(&self.ring))
    }

    /// Whether the ring keeps raw upstream frames: see
    /// [`Options::keep_frames`](crate::Options::keep_frames).
    #[must_use]
    pub const fn keeps_frames(&self) -> bool {
        self.frames.is_some()
    }

    /// Keeps a raw frame of an upstream, as part of the next commit, to be read with
    /// [`Store::frames`](crate::Store::frames). Nothing happens if the ring keeps none.
    ///
    /// The sequence numbers of a source increase. One that does not, and one that comes after
    /// frames that were not kept, going by the source's [cursor](Appender::set_cursor), begins
    /// the source's frames anew.
    pub fn keep_frame(&mut self, source: &str, seq: u64, frame: &[u8]) {
        if let Some(frames) = &mut self.frames {
            let cursor = self.cursors.get(source);
            frames.push(source, seq, frame, cursor);
        }
    }

    /// The bytes of the frames that await the next commit.
    #[must_use]
    pub fn pending_frame_bytes(&self) -> usize {
        self.frames.as_ref().map_or(0, FrameWriter::pending_bytes)
    }

    /// Sets the dictionary that all events pushed from now on are compressed with. It is
    /// stored at once, and stays until the ring has forgotten the last event that needs it.
    ///
    /// # Errors
    ///
    /// When it cannot be written, or the ring has another of the same number. The dictionary
    /// before it stays set.
    pub fn set_dictionary(&mut self, dictionary: &Dictionary) -> Result<(), StoreError> {
        let id = dictionary.id();
        let known = self.ring.dictionaries.get(id);
        if known.as_ref().is_some_and(|known| known != dictionary) {
            return Err(StoreError::OtherDictionary { id });
        }
        if self.dictionary == Some(id) {
            return Ok(());
        }
        let mut uses = self.uses.clone();
        uses.push((self.next_seq, id));
        let mut batch = Batch::default();
        if known.is_none() {
            batch.set(state::dictionary_key(id), dictionary.bytes().to_vec());
        }
        batch.set(state::USES.to_vec(), state::encode_uses(&uses));
        self.write(&batch, "store a dictionary")?;
        self.seal();
        self.ring.dictionaries.add(dictionary.clone());
        self.dictionary = Some(id);
        self.uses = uses;
        Ok(())
    }

    /// The dictionary set last, in this process or an earlier one.
    #[must_use]
    pub fn dictionary(&self) -> Option<Dictionary> {
        self.ring.dictionaries.get(self.dictionary?)
    }

    /// Notes that events of an upstream are missing between the event pushed last and the next. It is
    /// part of the next commit, and readers are told when they come there.
    ///
    /// `events` is the number of missing events, if it is known.
    pub fn note_gap(
        &mut self,
        cause: GapCause,
        events: Option<u64>,
        upstream: Option<UpstreamGap>,
    ) {
        let mut gap = Gap::new(self.next_seq, self.next_seq, cause);
        gap.events = events;
        gap.upstream = upstream;
        self.note(gap, Gap::merge);
    }

    /// Notes a gap between two events. Those of the same place and cause are one, first with those of
    /// this commit, then with those that are stored, whose entry is then replaced under its number:
    /// `unite` makes one gap of the one that is known and the new one.
    pub(super) fn note(&mut self, gap: Gap, unite: impl Fn(&mut Gap, &Gap)) {
        let is_same = |noted: &&mut Noted| noted.gap.is_same(&gap);
        if let Some(noted) = self.noted.iter_mut().rev().find(is_same) {
            unite(&mut noted.gap, &gap);
            return;
        }
        let known = self.ring.view().noted_like(&gap).cloned();
        let noted = match known {
            Some(mut known) => {
                unite(&mut known.gap, &gap);
                known
            }
            None => {
                self.next_note += 1;
                let number = self.next_note - 1;
                Noted { number, gap }
            }
        };
        if self.noted.len() >= MAX_NOTED {
            self.noted.remove(0);
        }
        self.noted.push(noted);
    }

    /// Makes every commit so far survive a power failure.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub fn sync(&mut self) -> Result<(), StoreError> {
        let synced = self.ring.durable.sync();
        synced.map_err(StoreError::storage("sync the ring"))
    }

    /// Opens the storage engine anew after a call failed with [`StoreError::Storage`]: after a
    /// failed write it refuses all others. What was pushed and set is kept, to be committed again,
    /// and readers stay as they are. In memory there is nothing to do.
    ///
    /// # Errors
    ///
    /// When the disk still cannot be written; then it is worth trying again, as often as need be.
    /// Until it succeeds, readers get what is in memory and, mostly, what is on disk.
    pub fn reopen(&mut self) -> Result<(), StoreError> {
        self.backend()
            .reopen()
            .map_err(StoreError::storage("open the store anew"))
    }

    pub(crate) fn new(parts: AppenderParts) -> Self {
        let AppenderParts {
            ring,
            options,
            tip,
            slots,
            cursors,
            changed_cursors,
            accounted,
            account_buckets,
            uses,
            frames,
        } = parts;
        // The view is complete by now, and says where positions and times continue.
        let view = ring.view();
        let (next_seq, last_time) = (view.next_seq, view.last_time);
        let tail = Tail::of(&view, slots);
        let newest = view.oldest_time().map(|_| last_time);
        let retention_clock = RetentionClock::new(newest);
        let next_note = view.noted.back().map_or(0, |noted| noted.number + 1);
        drop(view);
        let is_stored = ring.durable.backend().keeps_state();
        let accounts = Accounts::new(is_stored, accounted, account_buckets);
        let (bytes, entries) = accounts.size();
        ring.account_total.set(AccountTotal {
            bytes,
            entries,
            dropped: 0,
        });
        Self {
            ring,
            options,
            tip,
            builder: BlockBuilder::new(),
            merger: BlockBuilder::new(),
            packer: Compressor::without_dictionary(Dictionary::DEFAULT_LEVEL),
            sealed: Vec::new(),
            tail,
            next_seq,
            last_time,
            cursors: Cursors::new(cursors, changed_cursors, next_seq),
            accounts,
            noted: Vec::new(),
            next_note,
            skipped: Vec::new(),
            dictionary: uses.last().map(|(_, id)| *id),
            offered: None,
            uses,
            reserved: Reserved::default(),
            frames,
            untrimmed: 0,
            retention_clock,
        }
    }

    fn check(&self, event: &NewEvent<'_>) -> Result<(), PushError> {
        if event.time_us <= self.last_time {
            return Err(PushError::TimeOrder {
                time_us: event.time_us,
                last_time_us: self.last_time,
            });
        }
        let within = |part, length, limit| {
            if length <= limit {
                Ok(())
            } else {
                Err(PushError::TooLong {
                    part,
                    length,
                    limit,
                })
            }
        };
        // Lengths are stored in 16 and 32 bits: what passes here is never cut off below.
        within("JSON", event.json.len(), MAX_EVENT)?;
        within(
            "compressed",
            event.compressed.map_or(0, <[u8]>::len),
            MAX_EVENT,
        )?;
        within("DID", event.did.len(), MAX_NAME)?;
        within("collection", event.collection.len(), MAX_NAME)?;
        within("source", event.source.len(), MAX_NAME)?;
        if event.kind.operation().is_some() && event.commit.index >= event.commit.len {
            return Err(PushError::CommitPart { part: event.commit });
        }
        if event.compressed.is_some() && self.dictionary.is_none() {
            return Err(PushError::NoDictionary);
        }
        Ok(())
    }

    pub(super) fn seal(&mut self) {
        let block = self.builder.take(&self.ring.dictionaries);
        self.sealed.extend(block.map(Arc::new));
    }

    pub(super) fn write(&mut self, batch: &Batch, action: &'static str) -> Result<(), StoreError> {
        let written = self.ring.durable.write(batch);
        written.map_err(StoreError::storage(action))
    }

    pub(super) fn backend(&self) -> &dyn Backend {
        self.ring.durable.backend()
    }
}

impl Drop for Appender {
    fn drop(&mut self) {
        let view = self.ring.view();
        let used = Reserved {
            seq: view.next_seq,
            time_us: view.last_time,
        };
        drop(view);
        // If it fails, the next run continues as after a crash.
        let _ = self.backend().release(used);
    }
}

impl fmt::Debug for Appender {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Appender")
            .field("next_seq", &self.next_seq)
            .field("last_time", &self.last_time)
            .field("dictionary", &self.dictionary)
            .finish_non_exhaustive()
    }
}

/// The parts that an appender begins with.
pub(crate) struct AppenderParts {
    pub(crate) ring: Arc<Ring>,
    pub(crate) options: Options,
    pub(crate) tip: watch::Sender<Seq>,
    pub(crate) slots: u32,
    pub(crate) cursors: BTreeMap<String, u64>,
    /// The names of those that are not stored with these values.
    pub(crate) changed_cursors: BTreeSet<String>,
    pub(crate) accounted: Seq,
    pub(crate) account_buckets: Vec<AccountBucket>,
    pub(crate) uses: Vec<(Seq, u32)>,
    pub(crate) frames: Option<FrameWriter>,
}

/// An event's JSON, plain and compressed: far above anything the network carries, and so small that a
/// block of them stays within 32 bits.
const MAX_EVENT: usize = 16 << 20;
const MAX_NAME: usize = u16::MAX as usize;
