use jetwash::store::Run;
use jetwash::{Micros, Seq};

/// The place where a subscription ends by itself; by default it has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bound {
    /// How many events are still to be sent.
    pub(crate) events: Option<u64>,
    pub(crate) until: Option<Until>,
}

/// The first event that is no longer sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    Seq(Seq),
    /// The first of this time or later.
    Time(Micros),
}

impl Bound {
    /// Whether the subscription ends by itself at all.
    pub(crate) const fn is_set(&self) -> bool {
        self.events.is_some() || self.until.is_some()
    }

    /// Whether nothing is left to be sent at a position.
    pub(crate) fn is_reached(&self, next_seq: Seq) -> bool {
        self.events == Some(0) || self.seq() <= next_seq
    }

    /// The position of the first event that is no longer sent; [`Seq::MAX`] as long as it is not
    /// known.
    pub(crate) const fn seq(&self) -> Seq {
        match self.until {
            Some(Until::Seq(seq)) => seq,
            _ => Seq::MAX,
        }
    }

    /// Turns a time into the position, if a run has it.
    pub(crate) fn find_in(&mut self, run: &Run) {
        let Some(Until::Time(until)) = self.until else {
            return;
        };
        let times = run.block().times();
        let index = times.partition_point(|time| *time < until);
        if index < times.len() {
            self.until = Some(Until::Seq(run.block().first_seq().plus(index as u64)));
        }
    }

    /// Returns up to how many of `wanted` events may be sent.
    pub(crate) fn most(&self, wanted: usize) -> usize {
        let events = self.events.unwrap_or(u64::MAX);
        wanted.min(usize::try_from(events).unwrap_or(usize::MAX))
    }

    /// Notes that events were sent.
    pub(crate) const fn sent(&mut self, events: u64) {
        if let Some(left) = &mut self.events {
            debug_assert!(events <= *left, "no more events are granted than are left");
            *left = left.saturating_sub(events);
        }
    }
}
