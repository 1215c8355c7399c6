use std::ops::Range;
use std::sync::Arc;

use crate::block::Block;
use crate::gap::Gap;

/// The result of a read.
#[derive(Debug)]
pub enum Read {
    /// Events, the first of them at the position asked for.
    Events(Run),
    /// Nothing yet: the position is that of the next event.
    AtTip,
    /// There is no event at the position, and there will be none: the ring has moved past it, a
    /// block is damaged, positions were skipped after a power failure, or the position is ahead
    /// of the ring. Reading goes on at [`Gap::next_seq`].
    Gap(Gap),
}

/// Events that follow each other, from somewhere in a block to its end, or to where something is
/// known to be missing before the next.
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
    pub fn next_seq(&self) -> u64 {
        self.block.first_seq() + self.indexes.end as u64
    }

    /// The gaps of upstreams between the event before these and the first of them: see
    /// [`Appender::note_gap`](crate::Appender::note_gap). Nearly always empty.
    #[must_use]
    pub fn gaps(&self) -> &[Gap] {
        &self.gaps
    }
}
