use crate::seq::Seq;

use jetwash_event::{Kind, Micros, Operation};
use thiserror::Error;

/// The kind of an event: an operation on a record, or a change of an account or its repository.
///
/// The numbers are those of the stored format and never change.
///
/// # Examples
///
/// ```
/// use jetwash_event::{Kind, Operation};
/// use jetwash_store::EventKind;
///
/// assert_eq!(EventKind::from(Operation::Delete), EventKind::Delete);
/// assert_eq!(EventKind::Delete.kind(), Kind::Commit);
/// assert_eq!(EventKind::Identity.operation(), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
#[repr(u8)]
pub enum EventKind {
    /// A record was created.
    Create = 1,
    /// A record was replaced.
    Update = 2,
    /// A record was deleted.
    Delete = 3,
    /// A handle or a DID document may have changed.
    Identity = 4,
    /// An account became active, or stopped being so.
    Account = 5,
    /// A repository is in a new state, which does not follow from its commits.
    Sync = 6,
    /// A labeler has given a label or taken it back. Only a log of labels has it.
    Label = 7,
}

impl EventKind {
    /// The kind in Jetstream's terms: all operations on records are commits.
    #[must_use]
    pub const fn kind(self) -> Kind {
        match self {
            Self::Create | Self::Update | Self::Delete => Kind::Commit,
            Self::Identity => Kind::Identity,
            Self::Account => Kind::Account,
            Self::Sync => Kind::Sync,
            Self::Label => Kind::Label,
        }
    }

    /// The operation, if it is one.
    #[must_use]
    pub const fn operation(self) -> Option<Operation> {
        match self {
            Self::Create => Some(Operation::Create),
            Self::Update => Some(Operation::Update),
            Self::Delete => Some(Operation::Delete),
            Self::Identity | Self::Account | Self::Sync | Self::Label => None,
        }
    }

    pub(crate) const fn from_stored(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Create,
            2 => Self::Update,
            3 => Self::Delete,
            4 => Self::Identity,
            5 => Self::Account,
            6 => Self::Sync,
            7 => Self::Label,
            _ => return None,
        })
    }
}

impl From<Operation> for EventKind {
    fn from(operation: Operation) -> Self {
        match operation {
            Operation::Create => Self::Create,
            Operation::Update => Self::Update,
            Operation::Delete => Self::Delete,
        }
    }
}

/// Which operation of its commit an event is: commits that change several records become several
/// events, which stand next to each other in the ring.
///
/// # Examples
///
/// ```
/// use jetwash_store::CommitPart;
///
/// let last_of_three = CommitPart { index: 2, len: 3 };
/// assert_ne!(last_of_three, CommitPart::WHOLE);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CommitPart {
    /// Its place among the operations of the commit, counted from 0.
    pub index: u32,
    /// How many operations the commit has upstream, whether or not all of them are in the ring.
    pub len: u32,
}

impl CommitPart {
    /// The only operation of its commit.
    pub const WHOLE: Self = Self { index: 0, len: 1 };
}

/// An event on its way into the ring.
///
/// # Examples
///
/// ```
/// use jetwash_store::{CommitPart, EventKind, Location, Micros, NewEvent, Options, Seq, open};
///
/// let (mut appender, _store) = open(Location::Memory, Options::default())?;
/// let event = NewEvent {
///     kind: EventKind::Identity,
///     did: "did:plc:z72i7hdynmk6r22z27h6tvur",
///     collection: "",
///     commit: CommitPart::WHOLE,
///     source: "wss://relay.example",
///     verdict: 0,
///     time_us: appender.next_time_us(Micros::new(1_700_000_000_000_000)),
///     json: b"{}",
///     compressed: None,
/// };
/// assert_eq!(appender.push(&event)?, Seq::FIRST);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct NewEvent<'a> {
    /// Its kind.
    pub kind: EventKind,
    /// The account's DID.
    pub did: &'a str,
    /// The record's collection; empty where the event is not about a record.
    pub collection: &'a str,
    /// Which operation of its commit it is. Not looked at where the event is not about a record.
    pub commit: CommitPart,
    /// The upstream that it came from, as readers will see it; may be empty. Use few and short
    /// names, as each block holds those that occur in it.
    pub source: &'a str,
    /// The verdict of verification, as a code of the caller's, which readers get back as it is. 0 if
    /// the event was not verified.
    pub verdict: u8,
    /// Its time, above that of every event before it. See
    /// [`Appender::next_time_us`](crate::Appender::next_time_us).
    pub time_us: Micros,
    /// The event as JSON.
    pub json: &'a [u8],
    /// The same JSON compressed with zstd and the dictionary set last. Without one the ring
    /// compresses the JSON itself, a block at a time.
    pub compressed: Option<&'a [u8]>,
}

impl<'a> NewEvent<'a> {
    /// An event that is in a ring already, to be written again.
    pub(crate) fn again(meta: EventMeta<'a>, json: &'a [u8], compressed: Option<&'a [u8]>) -> Self {
        Self {
            kind: meta.kind,
            did: meta.did,
            collection: meta.collection,
            commit: meta.commit.unwrap_or(CommitPart::WHOLE),
            source: meta.source,
            verdict: meta.verdict,
            time_us: meta.time_us,
            json,
            compressed,
        }
    }
}

/// The metadata of an event, which the ring knows without touching its JSON.
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
/// let Read::Events(run) = store.read(Seq::FIRST)? else { panic!("nothing there") };
/// let meta = run.block().meta(0).ok_or("the block has an event")?;
/// assert_eq!((meta.seq, meta.kind), (Seq::FIRST, EventKind::Create));
/// assert_eq!((meta.source, meta.json_len), ("wss://relay.example", 2));
/// assert_eq!(meta.verdict, 0, "it was pushed as an event that was not verified");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventMeta<'a> {
    /// Its position in the ring.
    pub seq: Seq,
    /// Its time.
    pub time_us: Micros,
    /// Its kind.
    pub kind: EventKind,
    /// The account's DID.
    pub did: &'a str,
    /// The record's collection; empty where the event is not about a record.
    pub collection: &'a str,
    /// Which operation of its commit it is; `None` where the event is not about a record.
    pub commit: Option<CommitPart>,
    /// The upstream that it came from, as it was pushed with.
    pub source: &'a str,
    /// The verdict of verification, as it was pushed with; 0 if the event was not verified.
    pub verdict: u8,
    /// The length of its JSON in bytes.
    pub json_len: usize,
}

/// Why [`Appender::push`](crate::Appender::push) refused an event. The ring is unchanged.
///
/// # Examples
///
/// ```
/// # use jetwash_store::{CommitPart, EventKind, Location, Micros, NewEvent, Options, PushError, open};
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
/// # let event = NewEvent {
/// #     kind: EventKind::Identity,
/// #     did: "did:plc:z72i7hdynmk6r22z27h6tvur",
/// #     collection: "",
/// #     commit: CommitPart::WHOLE,
/// #     source: "wss://relay.example",
/// #     verdict: 0,
/// #     time_us: Micros::new(1),
/// #     json: b"{}",
/// #     compressed: None,
/// # };
/// match appender.push(&event) {
///     Err(PushError::TimeOrder { time_us, last_time_us }) => assert!(time_us <= last_time_us),
///     pushed => panic!("{pushed:?}"),
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum PushError {
    /// The event's time is not above that of the event before it.
    #[error("time {time_us} µs is not above {last_time_us} µs, the time of the event before it")]
    TimeOrder {
        /// The time of the refused event.
        time_us: Micros,
        /// The time of the newest event in the ring.
        last_time_us: Micros,
    },
    /// A part of the event is longer than the format can hold.
    #[error("the event's {part} has {length} bytes, more than {limit}")]
    TooLong {
        /// Which part: `JSON`, `compressed`, `DID`, `collection` or `source`.
        part: &'static str,
        /// Its length in bytes.
        length: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The event's part is an operation that its commit does not have.
    #[error("operation {} of a commit that has {}", part.index, part.len)]
    CommitPart {
        /// The refused part.
        part: CommitPart,
    },
    /// The event was pushed compressed, but no dictionary is set.
    #[error("the event was pushed compressed, but no dictionary is set")]
    NoDictionary,
    /// The ring is a mirror, whose events come from its origin: see
    /// [`Appender::become_mirror`](crate::Appender::become_mirror).
    #[error("the ring is a mirror of another log, which alone gives out positions")]
    Mirror,
}
