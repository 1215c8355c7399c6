//! One look-up at a time for each thing that is looked up.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// The look-ups under way, up to a limit. All who ask for the same thing wait for the same one.
pub(crate) struct Flights<K, T> {
    under_way: Mutex<HashMap<K, Arc<Flight<T>>>>,
    limit: usize,
}

/// One look-up.
pub(crate) struct Flight<T> {
    outcome: watch::Sender<Option<T>>,
    is_outdated: AtomicBool,
    is_stale: AtomicBool,
}

/// The way to an outcome.
pub(crate) enum Boarded<K: Eq + Hash, T> {
    /// The caller has to do the look-up.
    First(Landing<K, T>, Arrival<T>),
    Joined(Arrival<T>),
    /// Too many are under way: this many.
    Full(usize),
}

/// The duty to bring an outcome. Dropped without one, it tells those who wait.
pub(crate) struct Landing<K: Eq + Hash, T> {
    flights: Arc<Flights<K, T>>,
    key: K,
    flight: Arc<Flight<T>>,
}

/// The wait for an outcome.
pub(crate) struct Arrival<T>(watch::Receiver<Option<T>>);

impl<K: Clone + Eq + Hash, T: Clone> Flights<K, T> {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            under_way: Mutex::default(),
            limit,
        })
    }

    pub(crate) fn board(self: &Arc<Self>, key: &K) -> Boarded<K, T> {
        let mut under_way = self.lock();
        let count = under_way.len();
        match under_way.entry(key.clone()) {
            Entry::Occupied(flight) => Boarded::Joined(Arrival(flight.get().outcome.subscribe())),
            Entry::Vacant(_) if count >= self.limit => Boarded::Full(count),
            Entry::Vacant(place) => {
                let (outcome, arrival) = watch::channel(None);
                let flight = Arc::new(Flight {
                    outcome,
                    is_outdated: AtomicBool::new(false),
                    is_stale: AtomicBool::new(false),
                });
                place.insert(Arc::clone(&flight));
                let landing = Landing {
                    flights: Arc::clone(self),
                    key: key.clone(),
                    flight,
                };
                Boarded::First(landing, Arrival(arrival))
            }
        }
    }

    /// Has the outcome of a look-up under way kept nowhere. The next question starts another.
    pub(crate) fn outdate(&self, key: &K) {
        if let Some(flight) = self.lock().remove(key) {
            flight.is_outdated.store(true, Ordering::SeqCst);
        }
    }

    /// Has the outcome of a look-up under way looked up again soon.
    pub(crate) fn make_stale(&self, key: &K) {
        if let Some(flight) = self.lock().get(key) {
            flight.is_stale.store(true, Ordering::SeqCst);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }
}

impl<K: Eq + Hash, T> Flights<K, T> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, Arc<Flight<T>>>> {
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Flight<T> {
    pub(crate) fn is_outdated(&self) -> bool {
        self.is_outdated.load(Ordering::SeqCst)
    }

    pub(crate) fn is_stale(&self) -> bool {
        self.is_stale.load(Ordering::SeqCst)
    }
}

impl<K: Eq + Hash, T> Landing<K, T> {
    pub(crate) const fn key(&self) -> &K {
        &self.key
    }

    pub(crate) const fn flight(&self) -> &Arc<Flight<T>> {
        &self.flight
    }

    /// Brings the outcome, and stays under way: it can still become outdated.
    pub(crate) fn announce(&self, outcome: T) {
        self.flight.outcome.send_replace(Some(outcome));
    }

    /// Brings the outcome. The next question starts another look-up.
    pub(crate) fn land(self, outcome: T) {
        self.announce(outcome);
    }
}

impl<K: Eq + Hash, T> Drop for Landing<K, T> {
    fn drop(&mut self) {
        let mut under_way = self.flights.lock();
        let listed = under_way.get(&self.key);
        if listed.is_some_and(|listed| Arc::ptr_eq(listed, &self.flight)) {
            under_way.remove(&self.key);
        }
    }
}

impl<T: Clone> Arrival<T> {
    /// `None` if the look-up was given up.
    pub(crate) async fn outcome(mut self) -> Option<T> {
        let arrived = self.0.wait_for(Option::is_some).await.ok()?;
        arrived.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_look_up_that_is_given_up_leaves_nobody_waiting() {
        let flights: Arc<Flights<u8, u8>> = Flights::new(1);
        let Boarded::First(landing, arrival) = flights.board(&1) else {
            panic!("not the first");
        };
        let Boarded::Joined(second) = flights.board(&1) else {
            panic!("not the second");
        };
        assert!(matches!(flights.board(&2), Boarded::Full(1)));
        drop(landing);
        assert_eq!(arrival.outcome().await, None);
        assert_eq!(second.outcome().await, None);
        assert_eq!(flights.len(), 0);
    }

    #[tokio::test]
    async fn an_outdated_look_up_does_not_take_the_place_of_the_next() {
        let flights: Arc<Flights<u8, u8>> = Flights::new(9);
        let Boarded::First(old, old_arrival) = flights.board(&1) else {
            panic!("not the first");
        };
        flights.outdate(&1);
        let Boarded::First(new, new_arrival) = flights.board(&1) else {
            panic!("joined the outdated one");
        };
        assert!(old.flight().is_outdated() && !new.flight().is_outdated());
        old.land(7);
        assert_eq!(flights.len(), 1);
        new.land(8);
        assert_eq!(flights.len(), 0);
        assert_eq!(old_arrival.outcome().await, Some(7));
        assert_eq!(new_arrival.outcome().await, Some(8));
    }
}
