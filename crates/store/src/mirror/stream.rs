use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use jetwash_dict::{Compressor, Dictionary};
use jetwash_event::Micros;

use super::events::LogEvents;
use super::message::{LogMessage, MAX_TEXT};
use crate::block::{Block, Encoding, Page};
use crate::error::StoreError;
use crate::gap::{Gap, GapCause, UpstreamGap};
use crate::identity::LogId;
use crate::read::Store;
use crate::ring::Read;
use crate::seq::Seq;

impl Store {
    /// Returns the log from a position on as messages for a mirror.
    #[must_use]
    pub fn log_stream(&self, from: Seq) -> LogStream {
        LogStream {
            store: self.clone(),
            position: from.max(Seq::FIRST),
            greeted: None,
            events: 0,
            sent: BTreeSet::new(),
            ready: VecDeque::new(),
            packer: None,
        }
    }
}

/// The log from a position on, as messages for a mirror: see [`LogMessage`].
///
/// It is a reader like any other, and holds nothing but its position and up to three messages.
///
/// # Examples
///
/// A mirror takes over what there is:
///
/// ```
/// # use jetwash_store::{CommitPart, EventKind, Location, Micros, NewEvent, Options, Seq, open};
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
/// use jetwash_store::LogMessage;
///
/// let (mut appender, mirror) = open(Location::Memory, Options::default())?;
/// appender.become_mirror(store.log_id())?;
/// let mut stream = store.log_stream(appender.next_seq());
/// while let Some(bytes) = stream.next()? {
///     appender.apply(&LogMessage::decode(bytes)?)?;
/// }
/// appender.commit()?;
/// assert_eq!(mirror.bounds(), store.bounds());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct LogStream {
    store: Store,
    position: Seq,
    /// The log that was named to the mirror.
    greeted: Option<LogId>,
    events: u64,
    /// The dictionaries that were sent.
    sent: BTreeSet<u32>,
    /// Messages before the one that was asked for, and it.
    ready: VecDeque<Bytes>,
    /// For events that are not compressed, made when there are any.
    packer: Option<Compressor>,
}

impl LogStream {
    /// The position up to which everything was returned, or is about to be: that of the next event, once
    /// [`next`](Self::next) has nothing more.
    #[must_use]
    pub const fn position(&self) -> Seq {
        self.position
    }

    /// The number of events in the messages up to the [position](Self::position).
    #[must_use]
    pub const fn events(&self) -> u64 {
        self.events
    }

    /// Returns the next message, of up to [`LogMessage::MAX_LENGTH`] bytes; `None` at the end of the log,
    /// or behind it. Then it is worth asking again when [`Store::tip`] has changed.
    ///
    /// The first message is a [`LogMessage::Hello`]. Another one comes only where a new mirror takes on the
    /// name of its log, before any event of it. Dictionaries come before the first events that are
    /// compressed with them. May block on the disk.
    ///
    /// # Errors
    ///
    /// When the disk fails. Nothing is left out if it is called again.
    #[expect(
        clippy::should_implement_trait,
        reason = "its end is not final, and it fails"
    )]
    pub fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        if let Some(message) = self.ready.pop_front() {
            return Ok(Some(message));
        }
        if let Some(hello) = self.greeting() {
            return Ok(Some(hello));
        }
        while self.ready.is_empty() {
            match self.store.read(self.position)? {
                Read::AtTip => return Ok(None),
                Read::Gap(gap) if gap.next_seq <= self.position => return Ok(None),
                Read::Gap(gap) => self.pass(gap),
                Read::Events(run) => {
                    let events = slice(run.block(), run.indexes());
                    match self.message(run.block(), events.clone()) {
                        Ok(messages) => {
                            let gaps = run.gaps().iter().map(noted);
                            self.ready.extend(gaps.chain(messages));
                            self.events += events.len() as u64;
                            self.position = run.block().first_seq().plus(events.end as u64);
                        }
                        Err(StoreError::Corrupt { .. }) if self.is_trimmed() => {}
                        Err(StoreError::Corrupt { .. }) => {
                            let gap = Gap::new(self.position, run.next_seq(), GapCause::Damaged);
                            self.pass(gap);
                        }
                        Err(error) => return Err(error),
                    }
                }
            }
        }
        // It may have become the log of another between the two.
        if let Some(hello) = self.greeting() {
            return Ok(Some(hello));
        }
        Ok(self.ready.pop_front())
    }

    /// Names the log, if the mirror does not know it by this name. A new mirror has a name of its own
    /// until it learns that of the log that it mirrors; nothing has been sent of it by then.
    fn greeting(&mut self) -> Option<Bytes> {
        let log = self.store.log_id();
        (self.greeted.replace(log) != Some(log)).then(|| self.hello(log))
    }

    /// The time of the event before the position, by which the two sides of a mirror find out whether
    /// they have the same log; `None` if the log does not have that event. May block on the disk.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub fn time_before(&self) -> Result<Option<Micros>, StoreError> {
        if self.position <= Seq::FIRST {
            return Ok(None);
        }
        let before = self.position.previous();
        match self.store.read(before) {
            Ok(Read::Events(run)) => {
                let event = run.indexes().start;
                Ok(run.block().times().get(event).copied())
            }
            Ok(_) | Err(StoreError::Corrupt { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn hello(&self, log: LogId) -> Bytes {
        let view = self.store.view();
        let hello = LogMessage::Hello {
            version: LogMessage::VERSION,
            log,
            oldest_seq: view.oldest_seq(),
            next_seq: view.next_seq,
            last_time_us: view.last_time,
        };
        drop(view);
        hello.encode()
    }

    /// Passes over positions without events. The gaps of upstreams that lie among them stay in their
    /// places, between two parts of the gap.
    fn pass(&mut self, gap: Gap) {
        let end = gap.next_seq;
        for upstream in self.store.noted_gaps(self.position, end) {
            self.pass_to(upstream.first_seq, &gap);
            self.ready.push_back(noted(&upstream));
        }
        self.pass_to(end, &gap);
    }

    fn pass_to(&mut self, next: Seq, gap: &Gap) {
        if next > self.position {
            let part = Gap::new(self.position, next, gap.cause);
            self.ready.push_back(LogMessage::Gap(part).encode());
            self.position = next;
        }
    }

    /// Whether the position was trimmed meanwhile, so that there is no damage.
    fn is_trimmed(&self) -> bool {
        self.store.view().oldest_seq() > self.position
    }

    /// The message of some events of a block, behind that of their dictionary if it was not sent yet.
    fn message(
        &mut self,
        block: &Arc<Block>,
        events: Range<usize>,
    ) -> Result<Vec<Bytes>, StoreError> {
        let mut messages = Vec::new();
        let part = |page: &Page| page.bytes().slice(bytes_of(page, &events));
        let (encoding, payload) = match (block.dictionary_id(), block.compressed()?) {
            (Some(dictionary), Some(page)) => {
                messages.extend(self.dictionary(block, dictionary)?);
                (Encoding::Compressed { dictionary }, part(page))
            }
            _ => (Encoding::PackedJson, self.pack(&part(block.json()?))?),
        };
        let events = LogEvents::new(block.index(), events, encoding, payload);
        messages.push(LogMessage::Events(events).encode());
        Ok(messages)
    }

    /// The dictionary of a block, unless it was sent.
    fn dictionary(&mut self, block: &Block, id: u32) -> Result<Option<Bytes>, StoreError> {
        if self.sent.contains(&id) {
            return Ok(None);
        }
        let dictionary = self.store.dictionary(id).ok_or(StoreError::Corrupt {
            first_seq: block.first_seq(),
            next_seq: block.next_seq(),
            what: "the dictionary of its compressed events is missing",
        })?;
        self.sent.insert(id);
        let bytes = Bytes::copy_from_slice(dictionary.bytes());
        Ok(Some(LogMessage::Dictionary { id, bytes }.encode()))
    }

    fn pack(&mut self, json: &[u8]) -> Result<Bytes, StoreError> {
        let level = Dictionary::DEFAULT_LEVEL;
        let make = || Compressor::without_dictionary(level);
        let packer = self.packer.get_or_insert_with(make);
        let mut packed = Vec::new();
        let result = packer.compress(json, &mut packed);
        result
            .map_err(|error| StoreError::storage("compress events for a mirror")(error.into()))?;
        packed.shrink_to_fit();
        Ok(packed.into())
    }
}

impl fmt::Debug for LogStream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("LogStream")
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

/// The first of some events that are sent as one message: so few that it stays within
/// [`LogMessage::MAX_LENGTH`], and as a rule far below, and at least one.
fn slice(block: &Block, events: Range<usize>) -> Range<usize> {
    let (mut json_bytes, mut compressed_bytes, mut text_bytes) = (0, 0, 0);
    let fits = |event: &usize| {
        let (json, compressed) = block.index().lengths(*event);
        json_bytes += json;
        compressed_bytes += compressed;
        if let Some(meta) = block.meta(*event) {
            text_bytes += meta.did.len() + meta.collection.len() + meta.source.len();
        }
        json_bytes.max(compressed_bytes).max(text_bytes) <= SLICE_BYTES
    };
    let fitting = events.clone().take(SLICE_EVENTS).take_while(fits).count();
    events.start..events.start + fitting.max(1)
}

/// The place of some events in their page.
fn bytes_of(page: &Page, events: &Range<usize>) -> Range<usize> {
    let end_of = |event: usize| page.ends().get(event).map_or(0, |end| *end as usize);
    let start = events.start.checked_sub(1).map_or(0, end_of);
    let end = events.end.checked_sub(1).map_or(0, end_of);
    start..end.min(page.bytes().len()).max(start)
}

/// The message of a gap between two events, whose texts are cut off where they are too long.
fn noted(gap: &Gap) -> Bytes {
    let mut gap = gap.clone();
    if let Some(upstream) = gap.upstream.take() {
        let did = upstream.did.map(|did| cut(&did));
        gap.upstream = Some(UpstreamGap {
            source: cut(&upstream.source),
            did,
            ..upstream
        });
    }
    LogMessage::Gap(gap).encode()
}

fn cut(text: &Arc<str>) -> Arc<str> {
    if text.len() <= MAX_TEXT {
        return Arc::clone(text);
    }
    // A character has up to four bytes.
    let ends = (0..=MAX_TEXT).rev().take(4);
    let cut = ends.filter_map(|end| text.get(..end)).next();
    Arc::from(cut.unwrap_or_default())
}

/// Four default blocks: enough that a message's own cost is small, and little memory on both sides.
const SLICE_BYTES: usize = 4 << 20;
const SLICE_EVENTS: usize = 4_096;
