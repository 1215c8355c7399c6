use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, SystemTime};

use jetwash::store::{EventKind, Run};
use jetwash::{Cursor, Jetstream, Micros, Reader, Reading, StartFrom};
use serde::Serialize;

use crate::page::numbers::tenths;

/// Counts the events of the last minute by collection, in the index of the log: no event is
/// unpacked. It reads only when it is asked.
#[derive(Default)]
pub(crate) struct Collections {
    reader: Option<Reader>,
    /// The counts of five seconds each, the oldest first.
    slots: VecDeque<Slot>,
    /// The time of the first event that was counted: since then none is missing.
    begun: Option<Micros>,
    newest: Micros,
}

#[derive(Debug)]
struct Slot {
    number: u64,
    counts: BTreeMap<Box<str>, u64>,
}

/// Events by collection.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(crate) struct CollectionRates {
    /// How many seconds the rates are of: up to 65.
    seconds: f64,
    /// The most frequent first, up to 20.
    rates: Vec<CollectionRate>,
    /// Events in a second of all other collections.
    other: f64,
}

#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct CollectionRate {
    /// The collection, or `#identity`, `#account` and `#sync` for those kinds.
    name: Box<str>,
    /// Events in a second.
    rate: f64,
}

impl Collections {
    /// Counts what is new in the log, and returns the rates.
    pub(crate) async fn rates(&mut self, jetstream: &Jetstream) -> CollectionRates {
        self.catch_up(jetstream).await;
        let now = Micros::from(SystemTime::now()).max(self.newest);
        self.rates_at(now)
    }

    /// Reads to the end of the log. If nobody has looked for long, it begins anew a little before
    /// the end, so that a look costs no more than a few milliseconds.
    async fn catch_up(&mut self, jetstream: &Jetstream) {
        let bounds = jetstream.bounds();
        let position = self.reader.as_ref().map(Reader::next_seq);
        let is_near = position.is_some_and(|at| bounds.next_seq.since(at) <= MOST_READ);
        if !is_near {
            *self = Self::default();
            let start = bounds.next_seq.minus(FIRST_READ).max(bounds.oldest_seq);
            let start = StartFrom::Cursor(Cursor::before(start));
            self.reader = jetstream.reader(start).await.ok();
        }
        // What comes meanwhile is for the next time, or this could last for ever.
        let end = bounds.next_seq;
        loop {
            let Some(reader) = self.reader.as_mut() else {
                return;
            };
            if reader.is_at_tip() || reader.next_seq() >= end {
                return;
            }
            match reader.next().await {
                Some(Ok(Reading::Events(run))) => self.count(&run),
                Some(Ok(_)) => {}
                // The next look begins anew, behind what cannot be read.
                Some(Err(_)) | None => self.reader = None,
            }
        }
    }

    fn count(&mut self, run: &Run) {
        let block = run.block();
        let collections: Vec<&str> = block.collection_table().iter().collect();
        let columns = block.kinds().iter().zip(block.collection_indexes());
        for ((kind, &collection), &time) in columns
            .zip(block.times())
            .skip(run.indexes().start)
            .take(run.indexes().len())
        {
            let name = match kind {
                EventKind::Identity => "#identity",
                EventKind::Account => "#account",
                EventKind::Sync => "#sync",
                EventKind::Label => "#label",
                _ => collections
                    .get(usize::from(collection))
                    .copied()
                    .unwrap_or_default(),
            };
            self.add(name, time);
        }
    }

    fn add(&mut self, name: &str, time: Micros) {
        self.begun.get_or_insert(time);
        self.newest = time;
        let number = time.get() / SLOT;
        if self.slots.back().is_none_or(|slot| slot.number != number) {
            let counts = BTreeMap::new();
            self.slots.push_back(Slot { number, counts });
            if self.slots.len() > SLOTS {
                self.slots.pop_front();
            }
        }
        let Some(Slot { counts, .. }) = self.slots.back_mut() else {
            return;
        };
        if let Some(count) = counts.get_mut(name) {
            *count += 1;
        } else if counts.len() < MOST_NAMES {
            counts.insert(name.into(), 1);
        } else {
            // Anyone can make up collections.
            *counts.entry(OTHER.into()).or_default() += 1;
        }
    }

    fn rates_at(&mut self, now: Micros) -> CollectionRates {
        let oldest = (now.get() / SLOT).saturating_sub(SLOTS as u64 - 1);
        self.slots.retain(|slot| slot.number >= oldest);
        let Some(begun) = self.begun else {
            return CollectionRates::default();
        };
        let begun = begun.max(Micros::new(oldest * SLOT));
        let seconds = now.since(begun).max(LEAST).as_secs_f64();
        let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
        for (name, count) in self.slots.iter().flat_map(|slot| &slot.counts) {
            *sums.entry(name).or_default() += count;
        }
        let mut other = sums.remove(OTHER).unwrap_or_default();
        let mut sums: Vec<_> = sums.into_iter().collect();
        sums.sort_by_key(|&(name, count)| (u64::MAX - count, name));
        let rest = sums.split_off(sums.len().min(LISTED));
        other += rest.iter().map(|(_, count)| count).sum::<u64>();
        let rate = |count: u64| tenths(count as f64 / seconds);
        let rates = sums.into_iter().map(|(name, count)| CollectionRate {
            name: name.into(),
            rate: rate(count),
        });
        CollectionRates {
            seconds: tenths(seconds),
            rates: rates.collect(),
            other: rate(other),
        }
    }
}

/// No collection has this name: one has dots.
const OTHER: &str = "";
/// Five seconds, in microseconds.
const SLOT: u64 = 5_000_000;
/// A minute and what has begun.
const SLOTS: usize = 13;
/// The most names in one slot.
const MOST_NAMES: usize = 200;
/// How many are listed.
const LISTED: usize = 20;
/// How many events back it begins.
const FIRST_READ: u64 = 4_096;
/// How many events it reads at most when it is asked: those of a minute at 500 a second.
const MOST_READ: u64 = 32_768;
/// So that one event is not a thousand a second.
const LEAST: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_of_the_last_minute() {
        let mut collections = Collections::default();
        // Ten a second for 100 seconds, of which one in ten is another.
        for event in 0..1_000_u64 {
            let name = if event % 10 == 0 { "a.b.rare" } else { "a.b.c" };
            collections.add(name, Micros::new(event * 100_000));
        }
        let rates = collections.rates_at(Micros::new(100_000_000));
        assert_eq!(rates.seconds, 60.0);
        let named: Vec<_> = rates.rates.iter().map(|at| (&*at.name, at.rate)).collect();
        assert_eq!(named, [("a.b.c", 9.0), ("a.b.rare", 1.0)]);
        // Then nothing comes.
        let rates = collections.rates_at(Micros::new(130_000_000));
        assert_eq!((rates.seconds, rates.rates[0].rate), (60.0, 4.5));
        assert!(
            collections
                .rates_at(Micros::new(300_000_000))
                .rates
                .is_empty()
        );
    }

    #[test]
    fn collections_that_somebody_makes_up_are_counted_together() {
        let mut collections = Collections::default();
        for event in 0..10_000 {
            collections.add(&format!("a.b.c{event}"), Micros::new(event * 6_000));
        }
        assert!(
            collections
                .slots
                .iter()
                .all(|slot| slot.counts.len() <= MOST_NAMES + 1)
        );
        let rates = collections.rates_at(Micros::new(60_000_000));
        assert_eq!(rates.rates.len(), LISTED);
        assert!((160.0..170.0).contains(&rates.other), "{rates:?}");
    }
}
