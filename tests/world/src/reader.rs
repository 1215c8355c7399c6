//! Those who read inside the program: a subscription and a consumer.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use jetwash::{Cursor, Delivery, Event, Failure, Filter, Jetstream, StartFrom};
use tokio::time::sleep;

use crate::chance::Chance;
use crate::ledger::Ledger;
use crate::trace::Trace;

/// A reader that keeps its cursor itself, and so misses nothing and sees nothing twice.
#[derive(Clone)]
pub(crate) struct Reader {
    ledger: Ledger,
    trace: Trace,
    state: Arc<Mutex<Place>>,
}

struct Place {
    cursor: Option<Cursor>,
    /// The position of the next event, unless a gap is told.
    next: u64,
    chance: Chance,
}

impl Reader {
    pub(crate) fn new(seed: u64, trace: &Trace, ledger: &Ledger) -> Self {
        let place = Place {
            cursor: None,
            next: 1,
            chance: Chance::of(seed, "reader"),
        };
        Self {
            ledger: ledger.clone(),
            trace: trace.clone(),
            state: Arc::new(Mutex::new(place)),
        }
    }

    pub(crate) fn next(&self) -> u64 {
        self.with(|place| place.next)
    }

    /// Reads until the log ends.
    pub(crate) async fn run(self, jetstream: Jetstream) {
        let start = self.with(|place| place.cursor);
        let start = start.map_or(StartFrom::Oldest, StartFrom::Cursor);
        let subscription = match jetstream.subscribe(start, Filter::new()).await {
            Ok(subscription) => subscription,
            Err(error) => return self.trace.fail(format!("reader: {error}")),
        };
        let mut deliveries = subscription.with_gaps();
        while let Some(delivery) = deliveries.next().await {
            match delivery {
                Ok(Delivery::Event(event)) => self.event(&event),
                Ok(Delivery::Gap(gap)) => self.with(|place| {
                    self.trace.mix(format!("{gap:?}").as_bytes());
                    if gap.first_seq.get() <= place.next {
                        place.next = place.next.max(gap.next_seq.get());
                    }
                }),
                Ok(_) => {}
                Err(error) => return self.trace.fail(format!("reader: {error}")),
            }
            if self.with(|place| place.chance.percent(1)) {
                let pause = self.with(|place| place.chance.millis(10, 20_000));
                sleep(pause).await;
            }
        }
    }

    fn event(&self, event: &Event) {
        let seq = event.seq().get();
        self.ledger.saw("reader", seq, event.json());
        let expected = self.with(|place| {
            place.cursor = Some(event.cursor());
            std::mem::replace(&mut place.next, seq + 1)
        });
        if seq != expected {
            self.trace.fail(format!(
                "reader: {seq} came after {expected} was due, and no gap was told"
            ));
        }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Place) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A consumer whose cursor is in the log.
#[derive(Clone)]
pub(crate) struct Handled {
    ledger: Ledger,
    trace: Trace,
    inner: Arc<Mutex<HandledInner>>,
}

struct HandledInner {
    seqs: HashSet<u64>,
    /// The newest of each account in this process.
    newest: HashMap<String, u64>,
    chance: Chance,
}

impl Handled {
    pub(crate) fn new(seed: u64, trace: &Trace, ledger: &Ledger) -> Self {
        let inner = HandledInner {
            seqs: HashSet::new(),
            newest: HashMap::new(),
            chance: Chance::of(seed, "consumer"),
        };
        Self {
            ledger: ledger.clone(),
            trace: trace.clone(),
            inner: Arc::new(Mutex::new(inner)),
        }
    }

    /// Handles events until the log ends, or the process.
    pub(crate) async fn run(self, jetstream: Jetstream, is_alive: Arc<AtomicBool>) {
        while is_alive.load(Ordering::Relaxed) {
            self.with(|inner| inner.newest.clear());
            let consumer = jetstream
                .consumer(NAME)
                .start_from(StartFrom::Oldest)
                .workers(3);
            let handled = self.clone();
            let alive = Arc::clone(&is_alive);
            let handler = move |event: Event| {
                let (handled, alive) = (handled.clone(), Arc::clone(&alive));
                async move { handled.handle(&event, &alive).await }
            };
            match consumer.run(handler).await {
                Ok(()) => return,
                Err(error) => self.trace.note(format!("the consumer ended: {error}")),
            }
            // Where the log has ended, its cursor cannot be stored later either.
            if jetstream.store().tip().has_changed().is_err() {
                return;
            }
            sleep(Duration::from_secs(1)).await;
        }
    }

    async fn handle(&self, event: &Event, is_alive: &AtomicBool) -> Result<(), Failure> {
        let pause = self.with(|inner| inner.chance.millis(0, 20));
        sleep(pause).await;
        if !is_alive.load(Ordering::Relaxed) || self.with(|inner| inner.chance.percent(2)) {
            return Err(Failure::from(std::io::Error::other(
                "it fails now and then",
            )));
        }
        let seq = event.seq().get();
        self.ledger.saw("consumer", seq, event.json());
        let before = self.with(|inner| {
            inner.seqs.insert(seq);
            inner.newest.insert(event.did().to_owned(), seq)
        });
        if before.is_some_and(|before| before >= seq) {
            self.trace.fail(format!(
                "consumer: {seq} came after {before:?} of the same account"
            ));
        }
        Ok(())
    }

    /// Checks the stored cursor of a log that was just opened.
    pub(crate) fn check_cursor(&self, cursor: Option<Cursor>, next_seq: u64) {
        let Some(cursor) = cursor.map(Cursor::get) else {
            return;
        };
        if cursor >= next_seq {
            self.trace.fail(format!(
                "the consumer's cursor {cursor} is ahead of {next_seq}"
            ));
        }
        if let Some(seq) = self.first_missing(cursor) {
            self.trace.fail(format!(
                "the consumer's cursor is {cursor}, and {seq} was not handled"
            ));
        }
    }

    /// The first event up to a position that was not handled.
    pub(crate) fn first_missing(&self, cursor: u64) -> Option<u64> {
        let visible = self.ledger.visible_to(self.ledger.process());
        let mut seqs = visible
            .iter()
            .map(|entry| entry.seq)
            .take_while(|seq| *seq <= cursor);
        self.with(|inner| seqs.find(|seq| !inner.seqs.contains(seq)))
    }

    fn with<T>(&self, work: impl FnOnce(&mut HandledInner) -> T) -> T {
        work(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

pub(crate) const NAME: &str = "feed";
