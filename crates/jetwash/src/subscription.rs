use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{SystemTime, UNIX_EPOCH};

use futures_core::Stream;
use futures_util::stream;
use jetwash_event::{Filter, Kind, Operation};
use jetwash_store::{Block, EventKind, Gap, GapCause, LogId, Page, Read, Run, Store, StoreError};
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};

use crate::gaps::{Delivery, tell};
use crate::panic::Panic;
use crate::stats::Stats;
use crate::walk::Walk;

/// Where a subscription starts.
///
/// # Examples
///
/// ```
/// use jetwash::StartFrom;
///
/// // What the last run got as far as, kept in a file of its own.
/// let saved = "17".parse()?;
/// let start = StartFrom::Cursor(saved);
/// # let _ = start;
/// # Ok::<(), std::num::ParseIntError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartFrom {
    /// After the event with this cursor: nothing again, nothing left out.
    Cursor(Cursor),
    /// The same, for a cursor that was kept with the [identity](crate::Jetstream::log_id) of its
    /// log. In another log it says nothing: reading starts with the oldest event, and
    /// [`GapCause::OtherLog`] is told.
    CursorOf {
        /// The log that the cursor belongs to.
        log: LogId,
        /// The cursor.
        cursor: Cursor,
    },
    /// With the next event to arrive.
    #[default]
    Live,
    /// With the oldest event there is.
    Oldest,
    /// After what the [consumer](crate::Jetstream::consumer) of this name has last stored as done.
    /// Only a consumer has a name to store something under.
    Stored,
    /// With the first event of this time or later.
    Time(SystemTime),
}

/// The position of an event in the log. It is never reused, and later events have greater ones.
///
/// A cursor belongs to one log: whoever keeps it for long keeps the log's identity with it, see
/// [`StartFrom::CursorOf`]. As text it is a decimal number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor(u64);

impl Cursor {
    /// The cursor as a number, to be kept in a database.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The cursor that [`get`](Self::get) gave.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for Cursor {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// An event of the log. It is cheap to clone, and carries its bytes: nothing is parsed until asked.
///
/// An event keeps the block of some hundred events that it belongs to in memory. Whoever keeps
/// events for long should keep their [`json`](Self::json) instead.
#[derive(Clone)]
pub struct Event {
    pub(crate) block: Arc<Block>,
    page: Page,
    pub(crate) index: usize,
    cursor: Cursor,
    time_us: u64,
    kind: EventKind,
    phase: Phase,
    /// Whether it is an update that a filter by content does not match.
    pub(crate) no_longer: bool,
}

impl Event {
    /// Its position, from which a later subscription can go on.
    #[must_use]
    pub const fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// Its time in microseconds since 1970: when it went into the log. No two events share one.
    #[must_use]
    pub const fn time_us(&self) -> u64 {
        self.time_us
    }

    /// The account's DID.
    #[must_use]
    pub fn did(&self) -> &str {
        self.block.meta(self.index).map_or("", |meta| meta.did)
    }

    /// What the event is about.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        kind_of(self.kind)
    }

    /// What was done to the record; `None` if the event is not about one.
    #[must_use]
    pub const fn operation(&self) -> Option<Operation> {
        match self.kind {
            EventKind::Create => Some(Operation::Create),
            EventKind::Update => Some(Operation::Update),
            EventKind::Delete => Some(Operation::Delete),
            _ => None,
        }
    }

    /// The record's collection; `None` if the event is not about a record.
    #[must_use]
    pub fn collection(&self) -> Option<&str> {
        let collection = self.block.meta(self.index)?.collection;
        (!collection.is_empty()).then_some(collection)
    }

    /// Which operation of its commit it is, counted from 0; `None` if the event is not about a
    /// record.
    ///
    /// It counts as the commit upstream does: where an ingest filter, or a fault, keeps some of a
    /// commit's operations out of the log, their numbers are missing.
    #[must_use]
    pub fn commit_index(&self) -> Option<u32> {
        Some(self.block.meta(self.index)?.commit?.index)
    }

    /// How many operations its commit has upstream, those that are not in the log included;
    /// `None` if the event is not about a record.
    ///
    /// Without an ingest filter, the events of one commit are together when
    /// [`commit_index`](Self::commit_index) plus 1 is this.
    #[must_use]
    pub fn commit_len(&self) -> Option<u32> {
        Some(self.block.meta(self.index)?.commit?.len)
    }

    /// The name of the source that it came from: a relay's [`Endpoint`](crate::Endpoint) as text,
    /// or what [`JetstreamBuilder::frame_stream`](crate::JetstreamBuilder::frame_stream) was given. With several,
    /// the one that was first to send it.
    #[must_use]
    pub fn source(&self) -> &str {
        self.block.meta(self.index).map_or("", |meta| meta.source)
    }

    /// Whether it is read from the past, or as it happens.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// The event as the line that Jetstream sends, without a newline.
    #[must_use]
    pub fn json(&self) -> &str {
        // The log takes nothing but what our encoder wrote, and checks it for damage when it reads.
        std::str::from_utf8(self.bytes()).unwrap_or_default()
    }

    /// The event as structs, with the record still in JSON.
    ///
    /// # Errors
    ///
    /// When the log holds a line that is no event, which nothing but a fault can bring about.
    pub fn parse(&self) -> Result<jetwash_event::ParsedEvent, serde_json::Error> {
        serde_json::from_slice(self.bytes())
    }

    /// The event at an index of a block whose JSON has been loaded.
    pub(crate) fn at(block: &Arc<Block>, page: &Page, index: usize, phase: Phase) -> Option<Self> {
        let meta = block.meta(index)?;
        Some(Self {
            cursor: Cursor(meta.seq),
            time_us: meta.time_us,
            kind: meta.kind,
            phase,
            block: Arc::clone(block),
            page: page.clone(),
            index,
            no_longer: false,
        })
    }

    /// The block and the index in it.
    pub(crate) const fn place(&self) -> (&Arc<Block>, usize) {
        (&self.block, self.index)
    }

    /// The number of the block that it keeps in memory, and about how many bytes that takes.
    pub(crate) fn memory(&self) -> (u64, usize) {
        let index = self.block.len() * BYTES_OF_INDEX;
        (self.block.first_seq(), self.page.bytes().len() + index)
    }

    fn bytes(&self) -> &[u8] {
        self.page.get(self.index).unwrap_or_default()
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("cursor", &self.cursor)
            .field("json", &self.json())
            .finish()
    }
}

/// Whether an event is read from the past, or as it happens.
///
/// A subscription, and a consumer in each of its runs, begins with `Replay` unless it starts at the
/// log's tip. From when it has first caught up with the tip, its events are `Live`. The order of
/// events is the same in both: a bot that must not answer what is old asks for the phase, most
/// others need not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// The reader has not yet caught up with the log.
    Replay,
    /// The reader has caught up with the log at least once.
    Live,
}

/// Events from a position on, replayed or live: the subscriber cannot tell and need not.
///
/// [`Jetstream::subscribe`](crate::Jetstream::subscribe) makes one. It is a [`Stream`] that ends
/// when the `Jetstream` has been shut down and everything has been read. It holds no queue: a
/// subscriber that is slow reads older events, from disk if need be.
///
/// Where events are missing it goes on with the next that there is. Such a [`Gap`] is counted in
/// `jetwash_gaps_total` and logged; [`take_gaps`](Self::take_gaps) tells of it, and so does
/// [`with_gaps`](Self::with_gaps), in order with the events. An error says that the log cannot be
/// read.
pub struct Subscription {
    pub(crate) events: Pin<Box<dyn Stream<Item = Result<Event, ReadError>> + Send>>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) gaps: Gaps,
}

/// The gaps that a subscription has come to, and that nobody has asked for yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gaps(Arc<Mutex<VecDeque<Gap>>>);

impl Gaps {
    fn push(&self, gap: Gap) {
        let mut gaps = self.lock();
        if gaps.len() >= MOST_GAPS {
            gaps.pop_front();
        }
        gaps.push_back(gap);
    }

    fn pop(&self) -> Option<Gap> {
        self.lock().pop_front()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Gap>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscription {
    pub(crate) fn new(reader: Reader, filter: Filter, stats: Arc<Stats>) -> Self {
        let gaps = Gaps::default();
        let start = (Walk::new(reader, filter), gaps.clone());
        let events = stream::unfold(start, async |(mut walk, gaps)| {
            loop {
                let event = match walk.next().await? {
                    Ok(Delivery::Event(event)) => Ok(event),
                    Ok(Delivery::Gap(gap)) => {
                        gaps.push(gap);
                        continue;
                    }
                    Err(error) => Err(error),
                };
                return Some((event, (walk, gaps)));
            }
        });
        Self {
            events: Box::pin(events),
            stats,
            gaps,
        }
    }

    /// The gaps that it has come to since this was last called, the oldest first. If nobody asks,
    /// the newest 1,024 are kept.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use futures_util::StreamExt;
    /// use jetwash::{Filter, Jetstream, StartFrom};
    ///
    /// # async fn example(jetstream: Jetstream) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut events = jetstream.subscribe(StartFrom::Oldest, Filter::new()).await?;
    /// while let Some(event) = events.next().await {
    ///     for gap in events.take_gaps() {
    ///         println!("before this event: {gap}");
    ///     }
    ///     println!("{}", event?.json());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn take_gaps(&self) -> Vec<Gap> {
        self.gaps.lock().drain(..).collect()
    }

    /// Gives gaps too, each as soon as it is known and before the event behind it.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use futures_util::StreamExt;
    /// use jetwash::{Delivery, Filter, Jetstream, StartFrom};
    ///
    /// # async fn example(jetstream: Jetstream) -> Result<(), Box<dyn std::error::Error>> {
    /// let events = jetstream.subscribe(StartFrom::Oldest, Filter::new()).await?;
    /// let mut deliveries = events.with_gaps();
    /// while let Some(delivery) = deliveries.next().await {
    ///     match delivery? {
    ///         Delivery::Event(event) => println!("{}", event.json()),
    ///         Delivery::Gap(gap) => println!("{gap}"),
    ///         _ => {}
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub const fn with_gaps(self) -> SubscriptionWithGaps {
        SubscriptionWithGaps {
            subscription: self,
            next: None,
        }
    }
}

impl Stream for Subscription {
    type Item = Result<Event, ReadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.events.as_mut().poll_next(context)
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").finish_non_exhaustive()
    }
}

/// A [`Subscription`] that gives gaps in order with the events: see [`Subscription::with_gaps`].
pub struct SubscriptionWithGaps {
    subscription: Subscription,
    /// What comes behind the gaps that have not been given.
    next: Option<Option<Result<Event, ReadError>>>,
}

impl Stream for SubscriptionWithGaps {
    type Item = Result<Delivery, ReadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = match self.next.take() {
            Some(next) => Poll::Ready(next),
            None => self.subscription.events.as_mut().poll_next(context),
        };
        // It may have come to a gap, whether or not there is an event behind it.
        if let Some(gap) = self.subscription.gaps.pop() {
            match next {
                Poll::Ready(next) => self.next = Some(next),
                // Whoever polls again finds out by itself what else there is.
                Poll::Pending => {}
            }
            return Poll::Ready(Some(Ok(Delivery::Gap(gap))));
        }
        next.map(|next| next.map(|event| event.map(Delivery::Event)))
    }
}

impl fmt::Debug for SubscriptionWithGaps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubscriptionWithGaps")
            .finish_non_exhaustive()
    }
}

/// A position in the log that is read block by block: what subscriptions and servers are made of.
///
/// [`Jetstream::reader`](crate::Jetstream::reader) makes one.
#[derive(Debug)]
pub struct Reader {
    store: Store,
    tip: watch::Receiver<u64>,
    position: u64,
    ahead: Option<Ahead>,
    /// Gaps that have not been given, and the events behind them.
    gaps: VecDeque<Gap>,
    behind_gaps: Option<Run>,
}

/// What a [`Reader`] gives.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Reading {
    /// Events, at least one and at most to the end of a block.
    Events(Run),
    /// Events are missing, or may be. The reader is behind them.
    Gap(Gap),
}

/// A read that was begun before it was asked for.
#[derive(Debug)]
struct Ahead {
    position: u64,
    read: JoinHandle<Result<Read, StoreError>>,
}

impl Reader {
    /// Resolves where to start. It may have to look into the log's files, so it is not for an
    /// asynchronous task.
    pub(crate) fn open(store: Store, start: StartFrom) -> Result<Self, ReadError> {
        let bounds = store.bounds();
        let mut gaps = VecDeque::new();
        let mut clamp = |gap: Gap| {
            let position = gap.next_seq;
            tell(&gap);
            gaps.push_back(gap);
            position
        };
        let start = match start {
            StartFrom::CursorOf { log, cursor } if log == store.log_id() => {
                StartFrom::Cursor(cursor)
            }
            start => start,
        };
        let position = match start {
            StartFrom::CursorOf { .. } => {
                let oldest = bounds.oldest_seq;
                clamp(Gap::new(oldest, oldest, GapCause::OtherLog))
            }
            StartFrom::Cursor(Cursor(seq)) if seq >= bounds.next_seq => {
                let from = seq.saturating_add(1);
                clamp(Gap::new(from, bounds.next_seq, GapCause::CursorAhead))
            }
            StartFrom::Cursor(Cursor(seq)) => seq.saturating_add(1),
            StartFrom::Live => bounds.next_seq,
            StartFrom::Oldest => bounds.oldest_seq,
            StartFrom::Stored => return Err(ReadError::NothingStored),
            StartFrom::Time(time) => {
                let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
                let time_us = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
                let position = store.seq_at_time(time_us)?;
                if bounds.oldest_time_us.is_some_and(|oldest| time_us < oldest) {
                    clamp(Gap::new(position, position, GapCause::Trimmed))
                } else {
                    position
                }
            }
        };
        Ok(Self {
            tip: store.tip(),
            store,
            position,
            ahead: None,
            gaps,
            behind_gaps: None,
        })
    }

    /// The position of the next event to be read.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// Goes on from a later position: the events before it have come another way. An earlier one
    /// changes nothing.
    pub fn skip_to(&mut self, position: u64) {
        if position > self.position {
            self.position = position;
            self.gaps.clear();
            self.behind_gaps = None;
        }
    }

    /// Whether everything that the log has so far has been read.
    #[must_use]
    pub fn is_at_tip(&self) -> bool {
        self.gaps.is_empty() && self.position >= *self.tip.borrow()
    }

    /// The next events, or that some are missing before them; waits if there is neither. `None`
    /// when the log has been closed and everything has been read.
    ///
    /// It is safe to drop the future and call again.
    ///
    /// # Errors
    ///
    /// When the log cannot be read. Reading may be tried again.
    pub async fn next(&mut self) -> Option<Result<Reading, ReadError>> {
        loop {
            if let Some(gap) = self.gaps.pop_front() {
                return Some(Ok(Reading::Gap(gap)));
            }
            if let Some(run) = self.behind_gaps.take() {
                self.position = run.next_seq();
                return Some(Ok(Reading::Events(run)));
            }
            let read = match self.store.read_hot(self.position) {
                Some(read) => Ok(read),
                None => self.read_cold().await,
            };
            match read {
                Ok(Read::Events(run)) if run.gaps().is_empty() => {
                    self.position = run.next_seq();
                    return Some(Ok(Reading::Events(run)));
                }
                Ok(Read::Events(run)) => {
                    self.come_to(run.gaps());
                    self.behind_gaps = Some(run);
                }
                Ok(Read::AtTip) => {
                    let position = self.position;
                    if self.tip.wait_for(|&next| next > position).await.is_err()
                        && self.store.bounds().next_seq <= position
                    {
                        return None;
                    }
                }
                Ok(Read::Gap(gap)) => {
                    let noted = self.store.noted_gaps(gap.first_seq, gap.next_seq);
                    self.position = gap.next_seq;
                    self.come_to(&[gap]);
                    self.come_to(&noted);
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }

    fn come_to(&mut self, gaps: &[Gap]) {
        gaps.iter().for_each(tell);
        self.gaps.extend(gaps.iter().cloned());
    }

    /// Begins to read what the next call of [`next`](Self::next) will give, if it has to come from
    /// disk, so that it is read while the caller does something else.
    ///
    /// `prepare` is called with it on a thread that may block, to load what the caller will need.
    /// What is read is kept until it is asked for: to have begun costs the memory of one block.
    pub fn read_ahead(&mut self, prepare: impl FnOnce(&Run) + Send + 'static) {
        let position = self.position;
        let is_begun = |ahead: &Ahead| ahead.position == position;
        let has_more = !self.gaps.is_empty() || self.behind_gaps.is_some();
        if has_more
            || self.ahead.as_ref().is_some_and(is_begun)
            || self.store.read_hot(position).is_some()
        {
            return;
        }
        let store = self.store.clone();
        let read = tokio::task::spawn_blocking(move || {
            let read = store.read(position)?;
            if let Read::Events(run) = &read {
                prepare(run);
            }
            Ok(read)
        });
        self.ahead = Some(Ahead { position, read });
    }

    /// A read that may touch the disk, on a thread where that is allowed.
    async fn read_cold(&mut self) -> Result<Read, ReadError> {
        self.ahead = self
            .ahead
            .take()
            .filter(|ahead| ahead.position == self.position);
        if self.ahead.is_none() {
            self.read_ahead(|_| {});
        }
        let Some(ahead) = &mut self.ahead else {
            // It has come into memory meanwhile.
            return Ok(self.store.read(self.position)?);
        };
        let read = (&mut ahead.read).await;
        self.ahead = None;
        match read {
            Ok(read) => Ok(read?),
            Err(error) if error.is_panic() => Err(error.into()),
            // The runtime is going away, and with it this task.
            Err(_) => Ok(Read::AtTip),
        }
    }
}

/// Why events could not be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The events of a block are damaged on disk. Readers that do not load blocks by themselves are
    /// told of a [`Gap`] instead.
    #[error("events {first} to {} are damaged: {what}", next - 1)]
    Damaged {
        /// The first of them.
        first: u64,
        /// The first event after them.
        next: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// [`StartFrom::Stored`] where nothing is stored: a subscription has no name, and a consumer
    /// has not got anywhere yet.
    #[error("there is no stored cursor to start from")]
    NothingStored,
    /// What was called to read or to filter panicked, with this message.
    #[error("a panic: {0}")]
    Panicked(String),
    /// The asynchronous runtime is shutting down.
    #[error("the runtime is shutting down")]
    ShuttingDown,
    /// The log cannot be read.
    #[error(transparent)]
    Store(StoreError),
}

impl From<JoinError> for ReadError {
    fn from(error: JoinError) -> Self {
        match error.try_into_panic() {
            Ok(payload) => Self::Panicked(Panic::new(&*payload).to_string()),
            Err(_) => Self::ShuttingDown,
        }
    }
}

impl ReadError {
    /// The gap that damaged events leave to a reader that has come as far as `position`, counted
    /// and logged: it may go on behind it. Any other error is given back.
    ///
    /// For those who read blocks by themselves, with [`json_of`] for example.
    ///
    /// # Errors
    ///
    /// When it is no damage.
    pub fn into_gap(self, position: u64) -> Result<Gap, Self> {
        let Self::Damaged { first, next, what } = self else {
            return Err(self);
        };
        let first = first.max(position);
        let mut gap = Gap::new(first, next, GapCause::Damaged).events(next.saturating_sub(first));
        gap.detail = Some(what);
        tell(&gap);
        Ok(gap)
    }
}

impl From<StoreError> for ReadError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Corrupt {
                first_seq: first,
                next_seq: next,
                what,
            } => Self::Damaged { first, next, what },
            other => Self::Store(other),
        }
    }
}

/// A block's events as JSON, loaded where that may block unless they are in memory.
///
/// # Errors
///
/// When they cannot be read or are damaged.
pub async fn json_of(block: &Arc<Block>) -> Result<Page, ReadError> {
    if block.has_json() {
        return Ok(block.json()?.clone());
    }
    blocking(block, |block| block.json().cloned()).await
}

/// Some of a block's events as JSON, loaded where that may block unless they are in memory: see
/// [`Block::json_of`].
///
/// # Errors
///
/// When they cannot be read or are damaged.
pub async fn some_json_of(block: &Arc<Block>, indexes: &[usize]) -> Result<Page, ReadError> {
    if block.has_json_of(indexes.len()) {
        return Ok(block.json_of(indexes)?);
    }
    let indexes = indexes.to_vec();
    blocking(block, move |block| block.json_of(&indexes)).await
}

/// A block's events as compressed events, loaded where that may block unless they are in memory;
/// `None` if the log holds them without.
///
/// # Errors
///
/// When they cannot be read or are damaged.
pub async fn compressed_of(block: &Arc<Block>) -> Result<Option<Page>, ReadError> {
    if block.has_compressed() {
        return Ok(block.compressed()?.cloned());
    }
    blocking(block, |block| block.compressed().map(|page| page.cloned())).await
}

async fn blocking<T: Send + 'static>(
    block: &Arc<Block>,
    load: impl FnOnce(&Block) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, ReadError> {
    let block = Arc::clone(block);
    Ok(tokio::task::spawn_blocking(move || load(&block)).await??)
}

/// How many gaps a subscription keeps for whoever asks.
const MOST_GAPS: usize = 1_024;

/// What a block's index holds of an event, its share of names included.
const BYTES_OF_INDEX: usize = 64;

pub(crate) const fn kind_of(kind: EventKind) -> Kind {
    match kind {
        EventKind::Identity => Kind::Identity,
        EventKind::Account => Kind::Account,
        _ => Kind::Commit,
    }
}
