use std::sync::Arc;

/// A place where events are missing, or may be, and why.
///
/// A reader that comes to one is told of it and then reads on behind it. Positions are those of the
/// log; what an upstream did not give has a place between two of them, so there `first_seq` equals
/// `next_seq`, and [`upstream`](Self::upstream) says which of the upstream's numbers are missing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gap {
    /// The first position that is not given.
    pub first_seq: u64,
    /// The position at which the events go on.
    pub next_seq: u64,
    /// Why.
    pub cause: GapCause,
    /// How many events are missing, if that is known. `Some(0)` says that positions were skipped
    /// and nothing is missing.
    pub events: Option<u64>,
    /// Which upstream did not give them, if the fault is not the log's.
    pub upstream: Option<UpstreamGap>,
}

impl Gap {
    /// A gap from one position up to, but not including, another.
    #[must_use]
    pub const fn new(first_seq: u64, next_seq: u64, cause: GapCause) -> Self {
        Self {
            first_seq,
            next_seq,
            cause,
            events: None,
            upstream: None,
        }
    }

    /// Says how many events are missing.
    #[must_use]
    pub const fn events(mut self, events: u64) -> Self {
        self.events = Some(events);
        self
    }
}

/// The part of an upstream's numbers that the log does not have.
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

/// Why events are missing, or may be.
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
    /// Positions that a power failure took, or that were skipped so that none is given out twice.
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
}
