use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::{Gauge, gauge};
use thiserror::Error;
use tokio_util::sync::CancellationToken;

/// The memory that all subscribers take together: for filters, for unfinished requests and
/// messages, and for output that their sockets have not taken. What is kept to spare work is part of
/// it too, and makes room first.
///
/// When it is used up, the costliest subscribers are closed to make room. If none costs more than
/// the one that asks, that one is closed.
pub(crate) struct Budget {
    limit: usize,
    state: Mutex<State>,
    used: Option<Gauge>,
}

/// One subscriber's part of the memory, which is given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Account {
    budget: Arc<Budget>,
    id: u64,
    /// Tells the subscriber's task that it has to end.
    ending: CancellationToken,
}

/// The purposes that memory is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Filter,
    Incoming,
    Output,
    /// Output that has been handed to HTTP, and that its socket has not taken.
    Answer,
}

/// There is no memory left.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("memory budget: what this subscriber asks for is too much for now")]
pub(crate) struct OverBudget;

#[derive(Debug, Default)]
struct State {
    /// The accounts that take anything.
    accounts: HashMap<u64, Entry>,
    last_id: u64,
    used: usize,
    /// The part of `used` that belongs to accounts that have to end, and soon give it back.
    going: usize,
    /// The part of `used` that is kept to spare work.
    kept: usize,
}

#[derive(Debug)]
struct Entry {
    bytes: [usize; PURPOSES],
    ending: CancellationToken,
    is_going: bool,
}

impl Budget {
    /// A budget of `limit` bytes without a metric.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            state: Mutex::default(),
            used: None,
        }
    }

    /// A budget whose use is a metric.
    pub(crate) fn measured(limit: usize) -> Self {
        Self {
            used: Some(gauge!("jetwash_subscriber_memory_bytes")),
            ..Self::new(limit)
        }
    }

    /// An account for one more subscriber, whose task ends when `ending` is cancelled.
    pub(crate) fn account(self: &Arc<Self>, ending: CancellationToken) -> Account {
        let mut state = self.lock();
        state.last_id += 1;
        Account {
            budget: Arc::clone(self),
            id: state.last_id,
            ending,
        }
    }

    /// Notes how many bytes are kept from now on only to spare work, in all. Returns `false` if there
    /// is no room for them beside the subscribers: nothing is to be kept then.
    pub(crate) fn keep(&self, bytes: usize) -> bool {
        let mut state = self.lock();
        let others = state.used - state.kept;
        let has_room = (others - state.going).saturating_add(bytes) <= self.limit;
        state.kept = if has_room { bytes } else { 0 };
        state.used = others + state.kept;
        self.measure(state.used);
        has_room
    }

    fn measure(&self, used: usize) {
        if let Some(gauge) = &self.used {
            gauge.set(used as f64);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Account {
    /// Notes how many bytes are taken for a purpose from now on, in all.
    ///
    /// # Errors
    ///
    /// When it is too much. The subscriber then has to end, and its task has been told so.
    pub(crate) fn set(&self, purpose: Purpose, bytes: usize) -> Result<(), OverBudget> {
        let mut state = self.budget.lock();
        let State {
            accounts,
            used,
            going,
            ..
        } = &mut *state;
        if bytes == 0 && !accounts.contains_key(&self.id) {
            return Ok(());
        }
        let entry = accounts.entry(self.id).or_insert_with(|| Entry {
            bytes: [0; PURPOSES],
            ending: self.ending.clone(),
            is_going: false,
        });
        let before = std::mem::replace(&mut entry.bytes[purpose as usize], bytes);
        debug_assert!(*used >= before, "every byte in use belongs to an account");
        *used = *used - before + bytes;
        // It may still take more until its task notices. That is at nobody's expense: all of it is
        // about to be given back.
        if entry.is_going {
            *going = *going - before + bytes;
            self.budget.measure(*used);
            return Err(OverBudget);
        }
        if entry.sum() == 0 {
            accounts.remove(&self.id);
        }
        let has_to_end = bytes > before && state.make_room(self.budget.limit, self.id);
        self.budget.measure(state.used);
        if has_to_end { Err(OverBudget) } else { Ok(()) }
    }

    /// Whether the subscriber has to end because of its memory.
    pub(crate) fn is_over_budget(&self) -> bool {
        let state = self.budget.lock();
        state
            .accounts
            .get(&self.id)
            .is_some_and(|entry| entry.is_going)
    }

    /// Is cancelled when the subscriber's task has to end, for this or any other reason.
    pub(crate) const fn ending(&self) -> &CancellationToken {
        &self.ending
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let mut state = self.budget.lock();
        if let Some(entry) = state.accounts.remove(&self.id) {
            let bytes = entry.sum();
            state.used -= bytes;
            if entry.is_going {
                state.going -= bytes;
            }
            self.budget.measure(state.used);
        }
    }
}

impl State {
    /// Ends the costliest until the rest is within the limit. Returns whether `asking` is among
    /// them.
    fn make_room(&mut self, limit: usize, asking: u64) -> bool {
        let mut is_asking_among = false;
        if self.used - self.going > limit {
            // Who keeps it drops it at the next use, before it can grow.
            self.used -= std::mem::take(&mut self.kept);
        }
        while self.used - self.going > limit {
            let staying = self
                .accounts
                .iter_mut()
                .filter(|(_, entry)| !entry.is_going);
            // Among equals, the one that asks is closed: the others have their memory already.
            let costliest = staying.max_by_key(|(id, entry)| (entry.sum(), **id == asking));
            let Some((id, entry)) = costliest else { break };
            entry.is_going = true;
            entry.ending.cancel();
            is_asking_among |= *id == asking;
            self.going += entry.sum();
        }
        is_asking_among
    }
}

impl Entry {
    fn sum(&self) -> usize {
        self.bytes.iter().sum()
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget")
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

/// Unfinished messages and heads below this size are not counted: everybody has some.
pub(crate) const NOTEWORTHY: usize = 16 * 1024;
const PURPOSES: usize = Purpose::Answer as usize + 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts(limit: usize) -> (Arc<Budget>, impl Fn() -> Account) {
        let budget = Arc::new(Budget::new(limit));
        let shared = Arc::clone(&budget);
        (budget, move || shared.account(CancellationToken::new()))
    }

    #[test]
    fn the_costliest_makes_room() {
        let (budget, account) = accounts(100);
        let (large, small, asking) = (account(), account(), account());
        assert_eq!(large.set(Purpose::Incoming, 60), Ok(()));
        assert_eq!(small.set(Purpose::Filter, 30), Ok(()));
        assert_eq!(asking.set(Purpose::Output, 20), Ok(()));
        assert!(large.ending().is_cancelled() && large.is_over_budget());
        assert!(!small.is_over_budget() && !asking.is_over_budget());
        // What it still takes until it has gone does not count against the others.
        assert_eq!(large.set(Purpose::Incoming, 1000), Err(OverBudget));
        assert_eq!(asking.set(Purpose::Output, 70), Ok(()));
        drop(large);
        assert_eq!(budget.lock().used, 100);
    }

    #[test]
    fn whoever_asks_for_most_is_refused_itself() {
        let (budget, account) = accounts(100);
        let (first, second) = (account(), account());
        assert_eq!(first.set(Purpose::Filter, 50), Ok(()));
        assert_eq!(second.set(Purpose::Filter, 50), Ok(()));
        assert_eq!(second.set(Purpose::Incoming, 1), Err(OverBudget));
        assert!(second.ending().is_cancelled() && !first.ending().is_cancelled());
        drop(second);
        let equal = account();
        assert_eq!(equal.set(Purpose::Filter, 51), Err(OverBudget));
        drop((first, equal));
        let State {
            accounts,
            used,
            going,
            ..
        } = &*budget.lock();
        assert_eq!((accounts.len(), *used, *going), (0, 0, 0));
    }

    #[test]
    fn what_is_kept_makes_room_first_and_never_ends_a_subscriber() {
        let (budget, account) = accounts(100);
        let one = account();
        assert_eq!(one.set(Purpose::Filter, 60), Ok(()));
        assert!(budget.keep(40) && !budget.keep(41) && budget.keep(10));
        assert_eq!(budget.lock().used, 70);
        assert_eq!(one.set(Purpose::Output, 40), Ok(()));
        let of = |state: &State| (state.used, state.kept);
        assert_eq!(of(&budget.lock()), (100, 0));
        assert!(!budget.keep(1) && budget.keep(0));
        assert!(!one.is_over_budget());
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let (budget, account) = accounts(100);
        let one = account();
        for _ in 0..3 {
            assert_eq!(one.set(Purpose::Output, 100), Ok(()));
            assert_eq!(one.set(Purpose::Output, 0), Ok(()));
        }
        assert_eq!(budget.lock().accounts.len(), 0);
    }
}
