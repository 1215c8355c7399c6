use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jetwash_dict::{Compressor, Dictionary};
use tokio::sync::watch;

use crate::accounts::{AccountState, Accounts};
use crate::backend::state;
use crate::backend::{Backend, Batch, BlockKey, BlockRow, BucketName, Reserved};
use crate::block::{Block, BlockBuilder, Stored, encode_block, encode_piece};
use crate::crash::crash_point;
use crate::error::StoreError;
use crate::event::{NewEvent, PushError};
use crate::fill::{BucketFill, Tail};
use crate::frames::{FramePlan, FrameWriter};
use crate::gap::{Gap, GapCause, MAX_NOTED, Noted, UpstreamGap};
use crate::options::{Durability, Options, micros};
use crate::read::Store;
use crate::retained::RetentionClock;
use crate::ring::{BucketView, Ring, View};

/// The write side of a ring. There is one, and its calls block on the disk: it belongs on a
/// thread of its own.
///
/// Events are pushed, then committed together with the upstream cursors that they are the reason
/// for. What is not committed is not visible, and lost when the appender is dropped.
///
/// # Examples
///
/// ```
/// use jetwash_store::{CommitPart, EventKind, Location, NewEvent, Options, open};
///
/// let (mut appender, store) = open(Location::Memory, Options::default())?;
/// let time_us = appender.next_time_us(1_700_000_000_000_000);
/// let seq = appender.push(&NewEvent {
///     kind: EventKind::Delete,
///     did: "did:plc:z72i7hdynmk6r22z27h6tvur",
///     collection: "app.bsky.feed.like",
///     commit: CommitPart::WHOLE,
///     source: "wss://relay.example",
///     time_us,
///     json: b"{}",
///     compressed: None,
/// })?;
/// appender.set_cursor("wss://relay.example", 4_711);
/// assert_eq!(store.bounds().next_seq, seq);
/// appender.commit()?;
/// assert_eq!(store.bounds().next_seq, seq + 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Appender {
    ring: Arc<Ring>,
    options: Options,
    tip: watch::Sender<u64>,
    builder: BlockBuilder,
    merger: BlockBuilder,
    /// For full blocks that are not compressed.
    packer: Compressor,
    /// Pushed and not committed, apart from what is in `builder`.
    sealed: Vec<Arc<Block>>,
    tail: Tail,
    next_seq: u64,
    last_time: u64,
    cursors: BTreeMap<String, u64>,
    changed_cursors: BTreeSet<String>,
    /// The cursors as of the last commit, and its position.
    committed_cursors: BTreeMap<String, u64>,
    committed_seq: u64,
    accounts: Accounts,
    /// Gaps of upstreams, noted since the last commit.
    noted: Vec<Noted>,
    next_note: u64,
    dictionary: Option<u32>,
    /// Which dictionary was used from which position on.
    uses: Vec<(u64, u32)>,
    /// What may be given out before the mark on disk has to be moved.
    reserved: Reserved,
    frames: Option<FrameWriter>,
    /// The bytes committed since the last trim.
    untrimmed: u64,
    retention_clock: RetentionClock,
}

impl Appender {
    /// The position that the next event pushed will get: 1 in a new ring, and never one that was
    /// given out before.
    #[must_use]
    pub const fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// The time for the next event: `now_us`, or just above the time of the event before it if
    /// the clock stands still or went back.
    #[must_use]
    pub fn next_time_us(&self, now_us: u64) -> u64 {
        now_us.max(self.last_time.saturating_add(1))
    }

    /// Adds an event, to be committed later, and returns its position.
    ///
    /// # Errors
    ///
    /// When its time is not above that of the event before it, a part of it is too long, or it
    /// is compressed although no dictionary is set. Nothing is added then.
    pub fn push(&mut self, event: &NewEvent<'_>) -> Result<u64, PushError> {
        self.check(event)?;
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
        self.next_seq += 1;
        self.last_time = event.time_us;
        Ok(seq)
    }

    /// Notes how far an upstream has been read. Part of the next commit, so that the stored
    /// cursor is never ahead of the stored events.
    pub fn set_cursor(&mut self, name: &str, value: u64) {
        match self.cursors.get_mut(name) {
            Some(known) if *known == value => return,
            Some(known) => *known = value,
            None => {
                self.cursors.insert(name.to_owned(), value);
            }
        }
        if !self.changed_cursors.contains(name) {
            self.changed_cursors.insert(name.to_owned());
        }
    }

    /// The cursor set last under that name, in this process or an earlier one.
    #[must_use]
    pub fn cursor(&self, name: &str) -> Option<u64> {
        self.cursors.get(name).copied()
    }

    /// All cursors by name.
    pub fn cursors(&self) -> impl Iterator<Item = (&str, u64)> {
        self.cursors
            .iter()
            .map(|(name, value)| (name.as_str(), *value))
    }

    /// What is remembered of an account: what was [set](Self::set_account) last, in this process or,
    /// on disk, in an earlier one.
    ///
    /// In memory, only the accounts of which something was set or asked not long ago are remembered:
    /// the last 114,000 at least.
    ///
    /// # Errors
    ///
    /// When the disk cannot be read.
    pub fn account(&mut self, did: &str) -> Result<Option<AccountState>, StoreError> {
        let found = self.accounts.get(did, self.ring.durable.backend());
        found.map_err(StoreError::storage("look up an account"))
    }

    /// Remembers something of an account, as part of the next commit: what follows from an event
    /// that was pushed becomes durable with it, or not at all.
    pub fn set_account(&mut self, did: &str, state: &AccountState) {
        self.accounts.set(did, state);
    }

    /// The position from which on the [states](Self::set_account) of accounts may not tell of the
    /// events in the ring.
    #[must_use]
    pub const fn accounted_to(&self) -> u64 {
        self.accounts.covered()
    }

    /// Promises that from now on each commit sets what follows from its events, and that all events
    /// committed before are told of: [`accounted_to`](Self::accounted_to) is the end of the ring
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
            let cursor = self.cursors.get(source).copied();
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

    /// Notes that an upstream did not give all that it should have, between the event pushed last
    /// and the next: part of the next commit, for readers to be told when they come there.
    ///
    /// `events` is how many events are missing, if that is known.
    pub fn note_gap(
        &mut self,
        cause: GapCause,
        events: Option<u64>,
        upstream: Option<UpstreamGap>,
    ) {
        let mut gap = Gap::new(self.next_seq, self.next_seq, cause);
        gap.events = events;
        gap.upstream = upstream;
        let is_same = |noted: &&mut Noted| noted.gap.is_same(&gap);
        if let Some(noted) = self.noted.iter_mut().rev().find(is_same) {
            noted.gap.merge(&gap);
            return;
        }
        let known = self.ring.view().noted_like(&gap).cloned();
        let noted = match known {
            Some(mut known) => {
                known.gap.merge(&gap);
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

    /// Makes all that was pushed and set since the last commit durable and visible, all of it or
    /// nothing.
    ///
    /// # Errors
    ///
    /// When it cannot be written. Nothing is visible then, and nothing lost: after
    /// [`Appender::reopen`] the commit can be tried again. What the upstream cursors on disk say is
    /// still true, so the appender may as well be dropped and the ring opened anew.
    pub fn commit(&mut self) -> Result<(), StoreError> {
        self.seal();
        let has_frames = self
            .frames
            .as_ref()
            .is_some_and(|frames| !frames.is_empty());
        let has_accounts = self.accounts.has_pending();
        let covered = self.accounts.cover(self.next_seq);
        if self.sealed.is_empty()
            && self.changed_cursors.is_empty()
            && self.noted.is_empty()
            && !has_frames
            && !has_accounts
            && covered.is_none()
        {
            let synced = self.ring.durable.sync_if_due();
            return synced.map_err(StoreError::storage("sync the ring"));
        }
        crash_point!("commit.begun");
        self.reserve()?;
        let plan = self.plan()?;
        crash_point!("commit.planned");
        let mut batch = Batch::default();
        if self.backend().keeps_state() {
            self.add_state(&plan, &mut batch)?;
            batch.accounts = self.accounts.pending();
            if let Some(covered) = covered {
                batch.set(state::ACCOUNTS.to_vec(), state::encode_numbers(&[covered]));
            }
        }
        let kept = self.plan_frames(&mut batch)?;
        let mut full = Vec::with_capacity(plan.full.len());
        for FullBlock {
            bucket,
            stored,
            cursors,
            block,
        } in plan.full
        {
            batch.blocks.push(BlockRow {
                bucket: bucket.first_seq,
                key: stored.key,
                index: stored.index,
                payload: stored.payload,
                cursors,
            });
            full.push((bucket, stored.key, block));
        }
        self.write(&batch, "commit events")?;
        crash_point!("commit.written");
        self.untrimmed += batch.event_bytes();
        self.note_committed();
        self.accounts.committed(self.next_seq);
        self.sealed.clear();
        if let (Some(frames), Some(ring), Some(kept)) = (&mut self.frames, &self.ring.frames, kept)
        {
            frames.publish(ring, kept);
        }
        self.publish(full, plan.new_tail, plan.first_slot);
        crash_point!("commit.published");
        Ok(())
    }

    /// Whether so much has been committed since the last [trim](Appender::trim) that another should
    /// not wait, if the ring is to stay within its bytes: about a bucket.
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
    pub fn trim(&mut self, now_us: u64) -> Result<Trimmed, StoreError> {
        let elapsed = self.retention_clock.elapsed();
        self.trim_after(now_us, elapsed)
    }

    /// As [`Appender::trim`], for those who know how much time has passed since the last trim:
    /// `Duration::MAX` has `now_us` believed, whatever it is.
    ///
    /// # Errors
    ///
    /// As [`Appender::trim`].
    pub fn trim_after(&mut self, now_us: u64, elapsed: Duration) -> Result<Trimmed, StoreError> {
        self.untrimmed = 0;
        self.trim_frames()?;
        let overhead = self.backend().overhead_bytes();
        let cutoff = self.cutoff(now_us, elapsed);
        let (buckets, everything, trimmed) = self.choose_trim(cutoff, overhead);
        if buckets == 0 && !everything {
            return Ok(trimmed);
        }
        let mut batch = Batch::default();
        batch.set(
            state::FLOOR.to_vec(),
            state::encode_numbers(&[trimmed.oldest_seq]),
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
            uses,
            frames,
        } = parts;
        let view = ring.view();
        let (next_seq, last_time) = (view.next_seq, view.last_time);
        let tail = Tail::of(&view, slots);
        let newest = view.oldest_time().map(|_| last_time);
        let retention_clock = RetentionClock::new(newest);
        let next_note = view.noted.back().map_or(0, |noted| noted.number + 1);
        drop(view);
        let accounts = Accounts::new(ring.durable.backend().keeps_state(), accounted);
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
            committed_cursors: cursors.clone(),
            committed_seq: next_seq,
            cursors,
            changed_cursors,
            accounts,
            noted: Vec::new(),
            next_note,
            dictionary: uses.last().map(|(_, id)| *id),
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

    fn seal(&mut self) {
        let block = self.builder.take(&self.ring.dictionaries);
        self.sealed.extend(block.map(Arc::new));
    }

    /// Sees to it that a power failure cannot have positions and times given out again, although
    /// it may take the commit itself.
    fn reserve(&mut self) -> Result<(), StoreError> {
        let used = Reserved {
            seq: self.next_seq,
            time_us: self.last_time,
        };
        let survives = self.options.durability == Durability::SyncedBatch;
        if survives || self.reserved.covers(used) {
            return Ok(());
        }
        let reserved = Reserved {
            seq: used.seq + RESERVED_EVENTS,
            time_us: used.time_us.saturating_add(RESERVED_US),
        };
        self.backend()
            .reserve(reserved)
            .map_err(StoreError::storage("reserve positions"))?;
        self.reserved = reserved;
        crash_point!("commit.reserved");
        Ok(())
    }

    fn write(&mut self, batch: &Batch, action: &'static str) -> Result<(), StoreError> {
        let written = self.ring.durable.write(batch);
        written.map_err(StoreError::storage(action))
    }

    fn backend(&self) -> &dyn Backend {
        self.ring.durable.backend()
    }

    fn add_state(&self, plan: &Plan, batch: &mut Batch) -> Result<(), StoreError> {
        for (slot, piece) in (plan.first_slot..).zip(&plan.new_tail) {
            batch.set(state::tail_key(slot), encode_piece(piece)?);
        }
        let position = state::encode_numbers(&[self.next_seq, self.last_time]);
        batch.set(state::POSITION.to_vec(), position);
        for name in &self.changed_cursors {
            let value = self.cursors.get(name).copied().unwrap_or_default();
            batch.set(state::cursor_key(name), state::encode_numbers(&[value]));
        }
        let removed = self.ring.view().noted_beyond(&self.noted);
        removed
            .into_iter()
            .for_each(|number| batch.remove(state::noted_key(number)));
        for noted in &self.noted {
            batch.set(state::noted_key(noted.number), noted.encode());
        }
        Ok(())
    }

    fn plan_frames(&self, batch: &mut Batch) -> Result<Option<FramePlan>, StoreError> {
        let Some((frames, ring)) = self.frames.as_ref().zip(self.ring.frames.as_ref()) else {
            return Ok(None);
        };
        let planned = frames.plan(ring, self.backend(), batch);
        planned.map_err(StoreError::storage("begin a bucket of frames"))
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

    /// Decides what a commit writes: small commits add a piece to the tail, and from time to time
    /// the whole tail becomes a full block.
    fn plan(&mut self) -> Result<Plan, StoreError> {
        if self
            .tail
            .takes(&self.sealed, &self.options, self.bucket_start())
        {
            return Ok(Plan {
                full: Vec::new(),
                new_tail: self.sealed.clone(),
                first_slot: self.tail.slots,
            });
        }
        let mut pieces: Vec<Arc<Block>> = self.ring.view().tail().map(Arc::clone).collect();
        pieces.extend(self.sealed.iter().map(Arc::clone));
        let mut full = Vec::new();
        let mut bucket = self.ring.view().buckets.back().map(BucketFill::of);
        let mut open = Tail::default();
        let mut first_open = 0;
        for (index, piece) in pieces.iter().enumerate() {
            if !open.merges_with(piece) {
                self.close(&pieces[first_open..index], &mut bucket, &mut full)?;
                (open, first_open) = (Tail::default(), index);
            }
            open.add(piece);
            let start = bucket.as_ref().map(|bucket| bucket.first_time);
            if open.is_full(&self.options, start) {
                self.close(&pieces[first_open..=index], &mut bucket, &mut full)?;
                (open, first_open) = (Tail::default(), index + 1);
            }
        }
        Ok(Plan {
            full,
            new_tail: pieces.split_off(first_open),
            first_slot: 0,
        })
    }

    /// Makes one full block of several pieces.
    fn close(
        &mut self,
        pieces: &[Arc<Block>],
        bucket: &mut Option<BucketFill>,
        full: &mut Vec<FullBlock>,
    ) -> Result<(), StoreError> {
        let block = match pieces {
            [] => return Ok(()),
            [one] => Arc::clone(one),
            several => match self.merger.merge(several, &self.ring.dictionaries) {
                Some(block) => Arc::new(block),
                None => return Ok(()),
            },
        };
        let stored = encode_block(&block, &mut self.packer)?;
        let filled = match bucket.take() {
            Some(mut filled) if !filled.is_full(&self.options, stored.key.first_time) => {
                filled.add(&block, &stored);
                filled
            }
            _ => self.begin_bucket(&block, &stored)?,
        };
        *bucket = Some(filled.clone());
        full.push(FullBlock {
            bucket: filled,
            stored,
            cursors: self.cursors_at(block.next_seq()),
            block,
        });
        Ok(())
    }

    fn note_committed(&mut self) {
        for name in std::mem::take(&mut self.changed_cursors) {
            let value = self.cursors.get(&name).copied().unwrap_or_default();
            match self.committed_cursors.get_mut(&name) {
                Some(known) => *known = value,
                None => drop(self.committed_cursors.insert(name, value)),
            }
        }
        self.committed_seq = self.next_seq;
    }

    /// The cursors that are true as soon as all events before a position are stored: they are kept
    /// with the block that ends there. The state may be lost and blocks not, or the other way round,
    /// and then these say what the upstreams are to be asked for.
    fn cursors_at(&self, next_seq: u64) -> Option<bytes::Bytes> {
        let (seq, cursors) = if next_seq == self.next_seq {
            (next_seq, &self.cursors)
        } else if next_seq >= self.committed_seq {
            (self.committed_seq, &self.committed_cursors)
        } else {
            return None;
        };
        let is_some = !cursors.is_empty() && cursors.len() <= MAX_CURSORS;
        is_some.then(|| state::encode_cursors(seq, cursors))
    }

    fn begin_bucket(&self, block: &Block, stored: &Stored) -> Result<BucketFill, StoreError> {
        let created = self
            .backend()
            .create_bucket(BucketName::Events(block.first_seq()));
        let bucket = created.map_err(StoreError::storage("begin a bucket"))?;
        crash_point!("commit.bucket_begun");
        let mut filled = BucketFill::new(bucket, block);
        filled.add(block, stored);
        Ok(filled)
    }

    fn publish(
        &mut self,
        full: Vec<(BucketFill, BlockKey, Arc<Block>)>,
        new_tail: Vec<Arc<Block>>,
        first_slot: u32,
    ) {
        let ring = Arc::clone(&self.ring);
        let mut view = ring.view_mut();
        if first_slot == 0 {
            view.clear_tail();
            self.tail = Tail::default();
        }
        self.tail.slots = first_slot + new_tail.len() as u32;
        new_tail.iter().for_each(|piece| self.tail.add(piece));
        for (fill, key, block) in full {
            view.push_stored(&fill.bucket, fill.first_seq, &key);
            if let Some(bucket) = view.buckets.back_mut() {
                bucket.next_seq = block.next_seq();
            }
            view.push_hot(block);
        }
        for piece in new_tail {
            view.push_tail(piece);
        }
        view.note(self.noted.drain(..));
        view.next_seq = self.next_seq;
        view.last_time = self.last_time;
        view.shrink_hot(self.options.hot_bytes);
        drop(view);
        self.tip
            .send_if_modified(|tip| std::mem::replace(tip, self.next_seq) != self.next_seq);
    }

    fn bucket_start(&self) -> Option<u64> {
        self.ring.view().buckets.back().map(BucketView::first_time)
    }

    /// The time before which events are too old.
    fn cutoff(&mut self, now_us: u64, elapsed: Duration) -> u64 {
        let Some(age) = self.options.retention.max_age else {
            return 0;
        };
        let ring = Arc::clone(&self.ring);
        self.retention_clock
            .cutoff(now_us, elapsed, micros(age), |time| {
                ends(&ring.view()).find(|end| *end > time)
            })
    }

    /// How many buckets to drop, and whether that is all there is, tail included.
    fn choose_trim(&self, cutoff: u64, overhead: u64) -> (usize, bool, Trimmed) {
        let view = self.ring.view();
        let max_bytes = self.options.retention.max_bytes.unwrap_or(u64::MAX);
        let budget = max_bytes - overhead.min(max_bytes / 2);
        let mut bytes = view.bytes();

        let mut ends = ends(&view);
        let mut trimmed = Trimmed::default();
        let mut count = 0;
        for bucket in &view.buckets {
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
        trimmed.events = trimmed.oldest_seq - view.oldest_seq();
        trimmed.buckets = count;
        (count, everything, trimmed)
    }

    fn publish_trim(&mut self, buckets: usize, everything: bool) -> Vec<u64> {
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

    /// Forgets the dictionaries that no event needs any more.
    fn forget_dictionaries(&mut self, oldest_seq: u64) -> Result<(), StoreError> {
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

impl Drop for Appender {
    fn drop(&mut self) {
        let view = self.ring.view();
        let used = Reserved {
            seq: view.next_seq,
            time_us: view.last_time,
        };
        drop(view);
        // If it fails, the next run goes on as after a crash.
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

/// The times at which the buckets are over, and that of the tail.
fn ends(view: &View) -> impl Iterator<Item = u64> {
    let first_times = view.buckets.iter().map(BucketView::first_time);
    let tail_time = view.tail().next().map(|piece| piece.index().first_time());
    // A bucket's events are older than the first that follows it.
    let ends = first_times.chain(tail_time).skip(1);
    ends.chain([view.last_time.saturating_add(1)])
}

/// What a trim dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Trimmed {
    /// How many events.
    pub events: u64,
    /// How many bytes.
    pub bytes: u64,
    /// How many buckets.
    pub buckets: usize,
    /// The position of the oldest event that is left, or of the next one if none is.
    pub oldest_seq: u64,
}

/// What an appender begins with.
pub(crate) struct AppenderParts {
    pub(crate) ring: Arc<Ring>,
    pub(crate) options: Options,
    pub(crate) tip: watch::Sender<u64>,
    pub(crate) slots: u32,
    pub(crate) cursors: BTreeMap<String, u64>,
    /// Those that are not stored with these values.
    pub(crate) changed_cursors: BTreeSet<String>,
    pub(crate) accounted: u64,
    pub(crate) uses: Vec<(u64, u32)>,
    pub(crate) frames: Option<FrameWriter>,
}

/// An event's JSON, plain and compressed: far above anything the network carries, and so small that a
/// block of them stays within 32 bits.
const MAX_EVENT: usize = 16 << 20;
const MAX_NAME: usize = u16::MAX as usize;
/// With more of them they are not kept with each block.
const MAX_CURSORS: usize = 64;

/// How much is reserved at a time: so much that the mark is seldom moved, and so little that the
/// gap after a power failure is small. The time passes before a machine is up again.
const RESERVED_EVENTS: u64 = 1 << 16;
const RESERVED_US: u64 = 10_000_000;

/// What one commit writes of its events.
struct Plan {
    full: Vec<FullBlock>,
    /// The pieces to be written to the tail, from `first_slot` on. From slot 0 they replace it.
    new_tail: Vec<Arc<Block>>,
    first_slot: u32,
}

struct FullBlock {
    bucket: BucketFill,
    stored: Stored,
    cursors: Option<bytes::Bytes>,
    block: Arc<Block>,
}
