use std::ops::Range;
use std::sync::Arc;

use crate::block::Block;
use crate::gap::Gap;
use crate::seq::Seq;

/// The result of a read.
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
/// match store.read(Seq::FIRST)? {
///     Read::Events(run) => assert_eq!(run.next_seq(), Seq::new(2)),
///     Read::AtTip => println!("wait for `Store::tip`"),
///     Read::Gap(gap) => println!("{gap}; continue at {}", gap.next_seq),
/// }
/// assert!(matches!(store.read(Seq::new(2))?, Read::AtTip));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub enum Read {
    /// Events, the first of them at the position asked for.
    Events(Run),
    /// Nothing yet: the position is that of the next event.
    AtTip,
    /// There is no event at the position, and there will be none: the ring has moved past it, a
    /// block is damaged, positions were skipped after a power failure, or the position is ahead
    /// of the ring. Reading continues at [`Gap::next_seq`].
    Gap(Gap),
}

/// Events that follow each other, from somewhere in a block to its end, or to where something is
/// known to be missing before the next.
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
/// for event in run.indexes() {
///     assert_eq!(run.block().meta(event).map(|meta| meta.seq), Some(Seq::FIRST));
/// }
/// assert_eq!(run.next_seq(), Seq::new(2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Run {
    block: Arc<Block>,
    indexes: Range<usize>,
    gaps: Vec<Gap>,
}

impl Run {
    pub(crate) const fn new(block: Arc<Block>, indexes: Range<usize>, gaps: Vec<Gap>) -> Self {
        Self {
            block,
            indexes,
            gaps,
        }
    }

    /// The block that holds the events.
    #[must_use]
    pub const fn block(&self) -> &Arc<Block> {
        &self.block
    }

    /// The indexes of the events in the block, at least one.
    #[must_use]
    pub const fn indexes(&self) -> Range<usize> {
        self.indexes.start..self.indexes.end
    }

    /// The position after the last event: where to read on.
    #[must_use]
    pub fn next_seq(&self) -> Seq {
        self.block.first_seq().plus(self.indexes.end as u64)
    }

    /// The gaps of upstreams between the event before these and the first of them: see
    /// [`Appender::note_gap`](crate::Appender::note_gap). Nearly always empty.
    #[must_use]
    pub fn gaps(&self) -> &[Gap] {
        &self.gaps
    }
}
