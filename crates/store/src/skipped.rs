use crate::gap::{Gap, GapCause};
use crate::seq::Seq;

/// Positions that no event has, although the log has moved past them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Skipped {
    pub(crate) first: Seq,
    /// The position after the last of them.
    pub(crate) next: Seq,
    /// [`GapCause::Skipped`], except in a mirror, which leaves out all that its origin does not have.
    pub(crate) cause: GapCause,
}

impl Skipped {
    /// Adds to a list in order. What follows directly, for the same cause, is one with what is there.
    pub(crate) fn push_to(self, list: &mut Vec<Self>) {
        match list.last_mut() {
            Some(last) if last.next == self.first && last.cause == self.cause => {
                last.next = self.next;
            }
            _ => list.push(self),
        }
    }

    /// Drops all but the newest, of which there is seldom one: a list is stored as a whole.
    pub(crate) fn keep_newest(list: &mut Vec<Self>) {
        let excess = list.len().saturating_sub(MAX_SKIPPED);
        list.drain(..excess);
    }

    /// The part of it that a reader at a position in it passes over.
    pub(crate) fn gap_from(&self, from: Seq) -> Gap {
        let gap = Gap::new(from, self.next, self.cause);
        match self.cause {
            GapCause::Damaged => gap.events(self.next.since(from)).detail(IN_THE_ORIGIN),
            GapCause::Trimmed => gap.events(self.next.since(from)),
            _ => gap,
        }
    }
}

const IN_THE_ORIGIN: &str = "in the log that this one mirrors";

/// One for each power failure, or each gap of a mirror's origin.
const MAX_SKIPPED: usize = 1_024;
