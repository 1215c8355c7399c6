//! A dead letter, and the bytes that it is stored as.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use jetwash_event::Micros;
use thiserror::Error;

use crate::block::{Block, BlockBuilder, Dictionaries, check_payload, decode_piece, encode_piece};
use crate::error::StoreError;
use crate::event::NewEvent;
use crate::ring::LetterTotals;
use crate::seq::Seq;

/// An event to be put aside.
///
/// # Examples
///
/// ```
/// # use jetwash_store::{CommitPart, EventKind, LetterLimits, Location, Micros, NewDeadLetter, Seq};
/// # use jetwash_store::{NewEvent, Options, Read, open};
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
/// # let Read::Events(run) = store.read(Seq::FIRST)? else { panic!("nothing there") };
/// let letter = NewDeadLetter {
///     block: run.block(),
///     index: 0,
///     reason: "no text",
///     attempts: 5,
///     failed_at_us: Micros::new(1_700_000_001_000_000),
/// };
/// store.dead_letters("feed").put(&letter, LetterLimits::default())?;
/// assert_eq!(store.dead_letters("feed").held()?.letters, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct NewDeadLetter<'a> {
    /// The block that it is in.
    pub block: &'a Arc<Block>,
    /// Its index in the block.
    pub index: usize,
    /// The reason of the failure. The first 4,096 bytes are kept.
    pub reason: &'a str,
    /// The number of attempts.
    pub attempts: u32,
    /// The time at which it was given up.
    pub failed_at_us: Micros,
}

/// An event that was put aside.
///
/// # Examples
///
/// ```
/// # use jetwash_store::{CommitPart, EventKind, LetterLimits, Location, Micros, NewDeadLetter, Seq};
/// # use jetwash_store::{NewEvent, Options, Read, open};
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
/// # let Read::Events(run) = store.read(Seq::FIRST)? else { panic!("nothing there") };
/// # let letter = NewDeadLetter {
/// #     block: run.block(),
/// #     index: 0,
/// #     reason: "no text",
/// #     attempts: 5,
/// #     failed_at_us: Micros::new(1_700_000_001_000_000),
/// # };
/// let letters = store.dead_letters("feed");
/// letters.put(&letter, LetterLimits::default())?;
/// let stored = letters.get(Seq::FIRST)?.ok_or("it was put there")?;
/// assert_eq!((stored.seq(), stored.reason(), stored.attempts()), (Seq::FIRST, "no text", 5));
/// assert_eq!(stored.block().json()?.get(0), Some(&b"{}"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct StoredLetter {
    block: Arc<Block>,
    reason: String,
    attempts: u32,
    failed_at_us: Micros,
}

impl StoredLetter {
    /// A block that holds this one event, as it was.
    #[must_use]
    pub const fn block(&self) -> &Arc<Block> {
        &self.block
    }

    /// The position of its event, by which it is discarded.
    #[must_use]
    pub fn seq(&self) -> Seq {
        self.block.first_seq()
    }

    /// The reason of the failure.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The number of attempts.
    #[must_use]
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The time at which it was given up.
    #[must_use]
    pub const fn failed_at_us(&self) -> Micros {
        self.failed_at_us
    }
}

impl fmt::Debug for StoredLetter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredLetter")
            .field("seq", &self.seq())
            .field("reason", &self.reason)
            .field("attempts", &self.attempts)
            .finish_non_exhaustive()
    }
}

/// The limits of a consumer's dead letters.
///
/// # Examples
///
/// ```
/// use jetwash_store::LetterLimits;
///
/// let few = LetterLimits { letters: 100, ..LetterLimits::default() };
/// assert_eq!(few.bytes, 64 << 20);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LetterLimits {
    /// The number of letters.
    pub letters: u64,
    /// The bytes that they may take together.
    pub bytes: u64,
}

impl Default for LetterLimits {
    /// 10,000 letters and 64 MiB.
    fn default() -> Self {
        Self {
            letters: 10_000,
            bytes: 64 << 20,
        }
    }
}

/// Why a dead letter could not be written or read.
///
/// # Examples
///
/// ```
/// # use jetwash_store::{CommitPart, EventKind, LetterLimits, Location, Micros, NewDeadLetter, Seq};
/// # use jetwash_store::{NewEvent, Options, Read, open};
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
/// # let Read::Events(run) = store.read(Seq::FIRST)? else { panic!("nothing there") };
/// # let letter = NewDeadLetter {
/// #     block: run.block(),
/// #     index: 0,
/// #     reason: "no text",
/// #     attempts: 5,
/// #     failed_at_us: Micros::new(1_700_000_001_000_000),
/// # };
/// use jetwash_store::DeadLetterError;
///
/// let no_room = LetterLimits { letters: 0, bytes: 0 };
/// match store.dead_letters("feed").put(&letter, no_room) {
///     Err(DeadLetterError::Full { held, .. }) => assert_eq!(held.letters, 0),
///     put => panic!("{put:?}"),
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DeadLetterError {
    /// One is damaged on disk. It can still be discarded.
    #[error("the dead letter {seq} of the consumer {consumer:?} is damaged")]
    Damaged {
        /// The consumer that the letter belongs to.
        consumer: String,
        /// Its position.
        seq: Seq,
    },
    /// There is no room for another.
    #[error(
        "there is no room for another dead letter of the consumer {consumer:?}: {} of {} letters \
         and {} of {} bytes are taken; replay or discard some",
        held.letters, limits.letters, held.bytes, limits.bytes
    )]
    Full {
        /// The consumer that the letters belong to.
        consumer: String,
        /// The totals of the letters that there are.
        held: LetterTotals,
        /// The limits.
        limits: LetterLimits,
    },
    /// The disk failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

const MAX_REASON: usize = 4096;
const LETTER_VERSION: u8 = 1;

/// Version, time, attempts, the reason and its length, and the event as a piece of its own.
pub(super) fn encode(
    letter: &NewDeadLetter<'_>,
    dictionaries: &Arc<Dictionaries>,
) -> Result<(Seq, Vec<u8>), DeadLetterError> {
    let missing = || StoreError::Corrupt {
        first_seq: letter.block.first_seq(),
        next_seq: letter.block.next_seq(),
        what: "an event has no entry in the block",
    };
    let meta = letter.block.meta(letter.index).ok_or_else(missing)?;
    let json = letter.block.json()?.get(letter.index).ok_or_else(missing)?;
    // As JSON, so that the letter outlives the dictionary of its block.
    let mut builder = BlockBuilder::new();
    builder.start(meta.seq, None);
    builder.push(&NewEvent::again(meta, json, None));
    let block = builder.take(dictionaries).ok_or_else(missing)?;
    let reason = clipped(letter.reason);
    let mut value = vec![LETTER_VERSION];
    value.extend_from_slice(&letter.failed_at_us.get().to_le_bytes());
    value.extend_from_slice(&letter.attempts.to_le_bytes());
    value.extend_from_slice(&(reason.len() as u32).to_le_bytes());
    value.extend_from_slice(reason.as_bytes());
    value.extend_from_slice(&encode_piece(&block)?);
    Ok((meta.seq, value))
}

pub(super) fn decode(value: &Bytes, dictionaries: &Arc<Dictionaries>) -> Option<StoredLetter> {
    let (&[LETTER_VERSION], rest) = value.split_first_chunk()? else {
        return None;
    };
    let (failed_at_us, rest) = rest.split_first_chunk()?;
    let (attempts, rest) = rest.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let (reason, piece) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    let (index, payload) = decode_piece(piece).ok()?;
    let payload = value.slice_ref(piece.get(payload..)?);
    check_payload(&index, &payload).ok()?;
    let dictionaries = Arc::clone(dictionaries);
    Some(StoredLetter {
        block: Arc::new(Block::in_memory(index, None, Some(payload), dictionaries)),
        reason: std::str::from_utf8(reason).ok()?.to_owned(),
        attempts: u32::from_le_bytes(*attempts),
        failed_at_us: Micros::new(u64::from_le_bytes(*failed_at_us)),
    })
}

fn clipped(reason: &str) -> &str {
    let mut end = reason.len().min(MAX_REASON);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    &reason[..end]
}
