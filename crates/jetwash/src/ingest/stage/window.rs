use std::collections::VecDeque;

use crate::ingest::check::{Done, Outcome};
use crate::ingest::intake::Arrival;

/// The frames that are being checked, in the order in which they came.
#[derive(Default)]
pub(super) struct Window {
    slots: VecDeque<Slot>,
    /// The ticket of the first slot.
    first: u64,
}

/// A frame, or news of a connection, at its place in the order.
pub(super) struct Slot {
    pub(super) arrival: Arrival,
    /// The account, by a hash with a secret key; `None` for a frame without one.
    pub(super) account: Option<u64>,
    /// The answer of the predicate, if it was asked.
    pub(super) is_let_in: Option<bool>,
    /// `None` while it is being checked.
    pub(super) outcome: Option<Outcome>,
}

impl Window {
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.slots.len() >= SLOTS
    }

    /// The ticket that the next slot will have.
    pub(super) fn next_ticket(&self) -> u64 {
        self.first + self.slots.len() as u64
    }

    pub(super) fn push(&mut self, slot: Slot) {
        self.slots.push_back(slot);
    }

    pub(super) fn done(&mut self, done: Done) {
        let index = done.ticket.checked_sub(self.first);
        let slot = index.and_then(|index| self.slots.get_mut(index as usize));
        debug_assert!(slot.is_some(), "a slot leaves only once it is done");
        if let Some(slot) = slot {
            slot.outcome = Some(done.outcome);
        }
    }

    /// Takes the first, if it has been checked.
    pub(super) fn pop(&mut self) -> Option<(Outcome, Slot)> {
        let outcome = self.slots.front_mut()?.outcome.take()?;
        let slot = self.slots.pop_front()?;
        self.first += 1;
        Some((outcome, slot))
    }

    /// Puts the one that was taken last back to the front.
    pub(super) fn put_back(&mut self, slot: Slot) {
        self.first -= 1;
        self.slots.push_front(slot);
    }
}

/// The most frames that are on their way through the check, a few milliseconds of work.
const SLOTS: usize = 1024;
