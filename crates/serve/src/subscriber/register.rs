use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jetwash::{Micros, Seq};
use tokio::time::Instant;

use crate::form::format::Format;
use crate::metrics::Delivered;
use crate::subscriber::settings::Settings;

/// Lists the subscribers and mirrors that are connected, for those who look.
#[derive(Debug, Default)]
pub(crate) struct Register {
    listed: Mutex<BTreeMap<u64, Arc<Report>>>,
    next: AtomicU64,
    /// The events and bytes of those that have gone.
    gone: [AtomicU64; 2],
}

/// One subscriber or mirror as others see it.
///
/// Its own task writes to it, or the shard that it sits in, never both: so numbers are stored
/// without locked instructions.
#[derive(Debug)]
pub(crate) struct Report {
    /// Counted from 1, in the order of coming.
    pub(crate) number: u64,
    /// `None` if it is unknown or hidden.
    pub(crate) address: Option<IpAddr>,
    pub(crate) since: Instant,
    /// `None` for a mirror.
    pub(crate) format: Option<Format>,
    settings: Mutex<Arc<Settings>>,
    next_seq: AtomicU64,
    time_us: AtomicU64,
    events: AtomicU64,
    bytes: AtomicU64,
}

/// A place in the register, until it is dropped.
#[derive(Debug)]
pub(crate) struct Listed {
    register: Arc<Register>,
    report: Arc<Report>,
}

impl Register {
    /// Lists one that has come.
    pub(crate) fn enter(
        self: &Arc<Self>,
        address: Option<IpAddr>,
        format: Option<Format>,
        settings: Arc<Settings>,
    ) -> Listed {
        let number = 1 + self.next.fetch_add(1, Ordering::Relaxed);
        let report = Arc::new(Report {
            number,
            address,
            since: Instant::now(),
            format,
            settings: Mutex::new(settings),
            next_seq: AtomicU64::new(0),
            time_us: AtomicU64::new(0),
            events: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        });
        self.lock().insert(number, Arc::clone(&report));
        Listed {
            register: Arc::clone(self),
            report,
        }
    }

    /// Those that are connected, the oldest first.
    pub(crate) fn all(&self) -> Vec<Arc<Report>> {
        self.lock().values().cloned().collect()
    }

    /// The sum of events delivered since the start, to those that have gone as well.
    pub(crate) fn delivered(&self) -> Delivered {
        // Under the lock, so that nobody leaves between the two sums.
        let listed = self.lock();
        let [events, bytes] = self.gone.each_ref().map(|sum| sum.load(Ordering::Relaxed));
        let mut total = Delivered { events, bytes };
        for report in listed.values() {
            total += report.delivered();
        }
        total
    }

    fn leave(&self, report: &Report) {
        let mut listed = self.lock();
        if listed.remove(&report.number).is_some() {
            let Delivered { events, bytes } = report.delivered();
            let [all_events, all_bytes] = &self.gone;
            all_events.fetch_add(events, Ordering::Relaxed);
            all_bytes.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Report>>> {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Report {
    /// Notes what was sent.
    pub(crate) fn sent(&self, delivered: Delivered) {
        let add = |sum: &AtomicU64, more| {
            sum.store(sum.load(Ordering::Relaxed) + more, Ordering::Relaxed);
        };
        add(&self.events, delivered.events);
        add(&self.bytes, delivered.bytes);
    }

    /// Notes the position of the next event, and the time of the last one.
    pub(crate) fn at(&self, next_seq: Seq, time_us: Micros) {
        self.next_seq.store(next_seq.get(), Ordering::Relaxed);
        self.time_us.store(time_us.get(), Ordering::Relaxed);
    }

    pub(crate) fn set(&self, settings: Arc<Settings>) {
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner) = settings;
    }

    pub(crate) fn settings(&self) -> Arc<Settings> {
        let settings = self.settings.lock();
        Arc::clone(&settings.unwrap_or_else(PoisonError::into_inner))
    }

    /// The position of the next event; 0 before it is known.
    pub(crate) fn next_seq(&self) -> Seq {
        Seq::new(self.next_seq.load(Ordering::Relaxed))
    }

    /// The time of the last event passed; 0 if it is unknown.
    pub(crate) fn time_us(&self) -> Micros {
        Micros::new(self.time_us.load(Ordering::Relaxed))
    }

    pub(crate) fn delivered(&self) -> Delivered {
        Delivered {
            events: self.events.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }
}

impl Listed {
    pub(crate) const fn report(&self) -> &Arc<Report> {
        &self.report
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.register.leave(&self.report);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_delivered_stays_counted_when_a_subscriber_goes() {
        let register = Arc::new(Register::default());
        let first = register.enter(None, None, Arc::default());
        let second = register.enter(None, None, Arc::default());
        let one = Delivered {
            events: 1,
            bytes: 10,
        };
        first.report().sent(one);
        second.report().sent(one);
        second.report().sent(one);
        drop(second);
        assert_eq!(register.all().len(), 1);
        let Delivered { events, bytes } = register.delivered();
        assert_eq!((events, bytes), (3, 30));
        drop(first);
        assert_eq!(register.delivered().events, 3);
        assert!(register.all().is_empty());
    }
}
