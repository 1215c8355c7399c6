use std::fmt;
use std::sync::Arc;

use crate::seq::Seq;

use bytes::Bytes;

/// A place where events are missing, or may be, and why.
///
/// A reader that comes to a gap is told of it and then reads on behind it. Positions are those of the
/// log; what an upstream did not give has a place between two of them, so there `first_seq` equals
/// `next_seq`, and [`upstream`](Self::upstream) says which of the upstream's numbers are missing.
///
/// # Examples
///
/// ```
/// use jetwash_store::{Gap, GapCause, Seq};
///
/// let gap = Gap::new(Seq::new(17), Seq::new(40), GapCause::Trimmed).events(23);
/// assert_eq!(gap.positions(), 23);
/// assert_eq!(gap.to_string(), "events 17 to 39 are no longer kept (23 events are missing)");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gap {
    /// The first position that is not given.
    pub first_seq: Seq,
    /// The position at which the events continue.
    pub next_seq: Seq,
    /// The cause.
    pub cause: GapCause,
    /// The number of missing events, if it is known. `Some(0)` says that positions were skipped
    /// and nothing is missing.
    pub events: Option<u64>,
    /// The upstream that did not give them, if the fault is not the log's.
    pub upstream: Option<UpstreamGap>,
    /// More about the cause, such as what is wrong with a block.
    pub detail: Option<&'static str>,
}

impl Gap {
    /// A gap from one position up to, but not including, another.
    #[must_use]
    pub const fn new(first_seq: Seq, next_seq: Seq, cause: GapCause) -> Self {
        Self {
            first_seq,
            next_seq,
            cause,
            events: None,
            upstream: None,
            detail: None,
        }
    }

    /// Says how many events are missing.
    #[must_use]
    pub const fn events(mut self, events: u64) -> Self {
        self.events = Some(events);
        self
    }

    /// The number of positions that it covers: 0 for a place between two events.
    #[must_use]
    pub const fn positions(&self) -> u64 {
        self.next_seq.since(self.first_seq)
    }

    pub(crate) const fn detail(mut self, detail: &'static str) -> Self {
        self.detail = Some(detail);
        self
    }

    /// Whether another gap of the same place is one with this.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let account = |gap: &Self| {
            let upstream = gap.upstream.as_ref();
            upstream.map(|upstream| (Arc::clone(&upstream.source), upstream.did.clone()))
        };
        (self.first_seq, self.cause) == (other.first_seq, other.cause)
            && account(self) == account(other)
    }

    /// Merges a gap that [is the same](Self::is_same).
    pub(crate) fn merge(&mut self, other: &Self) {
        let events = self.events.zip(other.events);
        self.events = events.map(|(one, more)| one.saturating_add(more));
        if let (Some(known), Some(other)) = (&mut self.upstream, &other.upstream) {
            known.first = known.first.zip(other.first).map(|(one, two)| one.min(two));
            known.next = known.next.zip(other.next).map(|(one, two)| one.max(two));
        }
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            first_seq: first,
            next_seq: next,
            ..
        } = *self;
        let last = next.previous();
        // A gap of the log has positions of its own; one of an upstream is a place between two.
        match self.cause {
            GapCause::OtherLog => write!(
                f,
                "the cursor belongs to another log; reading starts at position {next} of this one"
            )?,
            GapCause::CursorAhead => write!(
                f,
                "position {first} is ahead of the log; reading starts at its end, position {next}"
            )?,
            GapCause::Trimmed if first >= next => write!(
                f,
                "the cursor is older than the log, which begins at position {next}"
            )?,
            GapCause::Trimmed => write!(f, "events {first} to {last} are no longer kept")?,
            GapCause::Damaged => write!(f, "events {first} to {last} are damaged on disk")?,
            GapCause::Skipped => write!(
                f,
                "positions {first} to {last} were skipped after a power failure or crash; events \
                 that had them are asked for again upstream, and get new positions"
            )?,
            cause => write!(f, "{} at position {next}", cause.explanation())?,
        }
        if let Some(upstream) = &self.upstream {
            write!(f, ": {upstream}")?;
        }
        if let Some(detail) = self.detail {
            write!(f, ": {detail}")?;
        }
        match self.events {
            Some(0) => f.write_str(" (no event is missing)"),
            Some(1) => f.write_str(" (1 event is missing)"),
            Some(events) => write!(f, " ({events} events are missing)"),
            None => Ok(()),
        }
    }
}

/// The part of an upstream's numbers that the log does not have.
///
/// # Examples
///
/// ```
/// use jetwash_store::UpstreamGap;
///
/// let gap = UpstreamGap::new("wss://relay.example", Some(4_711), Some(4_800));
/// assert_eq!(gap.to_string(), "wss://relay.example, its numbers 4711 to 4799");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UpstreamGap {
    /// The name of the upstream, which is that of its cursor.
    pub source: Arc<str>,
    /// The first number that is missing, if it is known.
    pub first: Option<u64>,
    /// The number at which the upstream went on, if it is known.
    pub next: Option<u64>,
    /// The account that the gap concerns, if it is only one.
    pub did: Option<Arc<str>>,
}

impl UpstreamGap {
    /// A gap of an upstream, from one of its numbers up to, but not including, another.
    #[must_use]
    pub fn new(source: impl Into<Arc<str>>, first: Option<u64>, next: Option<u64>) -> Self {
        Self {
            source: source.into(),
            first,
            next,
            did: None,
        }
    }

    /// Says that only one account is concerned.
    #[must_use]
    pub fn did(mut self, did: impl Into<Arc<str>>) -> Self {
        self.did = Some(did.into());
        self
    }
}

impl fmt::Display for UpstreamGap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)?;
        match (self.first, self.next) {
            (Some(first), Some(next)) if first < next => {
                write!(f, ", its numbers {first} to {}", next - 1)?;
            }
            (Some(first), _) => write!(f, ", from its number {first} on")?,
            (None, Some(next)) => write!(f, ", before its number {next}")?,
            (None, None) => {}
        }
        match &self.did {
            Some(did) => write!(f, ", account {did}"),
            None => Ok(()),
        }
    }
}

/// Why events are missing, or may be.
///
/// # Examples
///
/// ```
/// use jetwash_store::GapCause;
///
/// assert_eq!(GapCause::UpstreamJump.name(), "upstream_jump");
/// assert!(GapCause::ALL.contains(&GapCause::Skipped));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum GapCause {
    /// The reader's cursor is of another log than this.
    OtherLog,
    /// The reader's cursor is ahead of the log.
    CursorAhead,
    /// Retention has passed the reader, or its cursor is older than the log.
    Trimmed,
    /// A block on disk fails its checksum or is missing.
    Damaged,
    /// Positions that a power failure took, or that were skipped so that no position is given out twice.
    Skipped,
    /// The upstream said that it no longer has what its cursor asked for.
    UpstreamOutdated,
    /// The upstream's numbers went ahead further than is plausible.
    UpstreamJump,
    /// The upstream counts anew, so that what it sent in between is unknown.
    UpstreamRenumbered,
    /// A message of the upstream could not be received, and was stepped over.
    UpstreamSteppedOver,
    /// A commit builds on a revision of its account that the log does not have.
    Discontinuous,
}

impl GapCause {
    /// A short name, for a counter's label and for the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OtherLog => "other_log",
            Self::CursorAhead => "cursor_ahead",
            Self::Trimmed => "trimmed",
            Self::Damaged => "damaged",
            Self::Skipped => "skipped",
            Self::UpstreamOutdated => "upstream_outdated",
            Self::UpstreamJump => "upstream_jump",
            Self::UpstreamRenumbered => "upstream_renumbered",
            Self::UpstreamSteppedOver => "upstream_stepped_over",
            Self::Discontinuous => "discontinuous",
        }
    }

    /// Every cause.
    pub const ALL: [Self; 10] = [
        Self::OtherLog,
        Self::CursorAhead,
        Self::Trimmed,
        Self::Damaged,
        Self::Skipped,
        Self::UpstreamOutdated,
        Self::UpstreamJump,
        Self::UpstreamRenumbered,
        Self::UpstreamSteppedOver,
        Self::Discontinuous,
    ];

    /// The number that stands for it where it is stored: its place in [`ALL`](Self::ALL), to which
    /// causes are only ever added at the end.
    pub(crate) fn code(self) -> u8 {
        let place = Self::ALL.iter().position(|listed| *listed == self);
        debug_assert!(place.is_some(), "every cause is listed");
        place.unwrap_or_default() as u8
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    const fn explanation(self) -> &'static str {
        match self {
            Self::UpstreamOutdated => "the upstream no longer had what was asked for",
            Self::UpstreamJump => "the upstream's numbers jumped ahead",
            Self::UpstreamRenumbered => "the upstream counts anew",
            Self::UpstreamSteppedOver => "a message of the upstream was stepped over",
            Self::Discontinuous => "a commit builds on a revision that the log does not have",
            _ => self.name(),
        }
    }
}

/// A gap as the log keeps it.
#[derive(Clone, Debug)]
pub(crate) struct Noted {
    /// Names the gap on disk. Later gaps have greater numbers.
    pub(crate) number: u64,
    /// Lies between two events: `first_seq` is `next_seq`.
    pub(crate) gap: Gap,
}

impl Noted {
    /// See `docs/store-format.md`.
    pub(crate) fn encode(&self) -> Bytes {
        let Gap {
            first_seq,
            cause,
            events,
            upstream,
            ..
        } = &self.gap;
        let upstream = upstream.as_ref();
        let numbers = [
            *events,
            upstream.and_then(|upstream| upstream.first),
            upstream.and_then(|upstream| upstream.next),
        ];
        let mut bytes = Vec::new();
        bytes.extend(first_seq.get().to_le_bytes());
        bytes.push(cause.code());
        for number in numbers {
            bytes.push(u8::from(number.is_some()));
            bytes.extend(number.unwrap_or_default().to_le_bytes());
        }
        let source = upstream.map(|upstream| &*upstream.source);
        let did = upstream.and_then(|upstream| upstream.did.as_deref());
        for text in [source, did] {
            bytes.push(u8::from(text.is_some()));
            let text = text.unwrap_or_default();
            bytes.extend((text.len() as u32).to_le_bytes());
            bytes.extend(text.as_bytes());
        }
        bytes.into()
    }

    /// Undoes [`encode`](Self::encode).
    pub(crate) fn decode(number: u64, mut bytes: &[u8]) -> Option<Self> {
        let first_seq = Seq::new(u64::from_le_bytes(take(&mut bytes)?));
        let [code] = take(&mut bytes)?;
        let cause = GapCause::from_code(code)?;
        // What is not known has its place all the same, so that an entry has one form.
        let mut numbers = [None; 3];
        for slot in &mut numbers {
            let [is_there] = take(&mut bytes)?;
            let number = u64::from_le_bytes(take(&mut bytes)?);
            *slot = (is_there == 1).then_some(number);
        }
        let mut texts = [None, None];
        for slot in &mut texts {
            let [is_there] = take(&mut bytes)?;
            let length = u32::from_le_bytes(take(&mut bytes)?);
            let (text, rest) = bytes.split_at_checked(usize::try_from(length).ok()?)?;
            bytes = rest;
            let text = std::str::from_utf8(text).ok()?;
            *slot = (is_there == 1).then(|| Arc::from(text));
        }
        let ([events, first, next], [source, did]) = (numbers, texts);
        let mut gap = Gap::new(first_seq, first_seq, cause);
        gap.events = events;
        gap.upstream = source.map(|source| UpstreamGap {
            source,
            first,
            next,
            did,
        });
        bytes.is_empty().then_some(Self { number, gap })
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*taken)
}

/// How many gaps of upstreams the log keeps; the oldest are forgotten first.
pub(crate) const MAX_NOTED: usize = 1_024;
