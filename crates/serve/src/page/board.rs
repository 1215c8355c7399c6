use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jetwash::Jetstream;
use metrics::{Gauge, counter, gauge};
use tokio::sync::{Mutex as AsyncMutex, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::page::collections::Collections;
use crate::page::consumers::Letters;
use crate::page::history::{Counts, History};
use crate::page::options::StatusPageOptions;
use crate::page::status::{Parts, Status, Viewers};
use crate::subscriber::subscribers::Subscribers;

/// The status, the samples and the seats, which all who look share.
pub(crate) struct Board {
    pub(crate) jetstream: Jetstream,
    pub(crate) subscribers: Arc<Subscribers>,
    pub(crate) options: Arc<StatusPageOptions>,
    /// Whether a task takes samples.
    pub(crate) is_kept: AtomicBool,
    history: Mutex<History>,
    latest: AsyncMutex<Latest>,
    seats: Arc<Semaphore>,
    refused: AtomicU64,
}

/// The status as it was last asked for.
#[derive(Default)]
struct Latest {
    made: Option<Instant>,
    text: Arc<str>,
    collections: Collections,
    letters: Letters,
}

/// A viewer's seat, until it is dropped.
#[derive(Debug)]
pub(crate) struct SeatOfViewer {
    _permit: OwnedSemaphorePermit,
    viewers: Gauge,
}

impl Board {
    pub(crate) fn new(subscribers: &Arc<Subscribers>, options: StatusPageOptions) -> Self {
        let seats = options.max_viewers.min(Semaphore::MAX_PERMITS);
        Self {
            jetstream: subscribers.jetstream().clone(),
            subscribers: Arc::clone(subscribers),
            options: Arc::new(options),
            is_kept: AtomicBool::new(false),
            history: Mutex::default(),
            latest: AsyncMutex::default(),
            seats: Arc::new(Semaphore::new(seats)),
            refused: AtomicU64::new(0),
        }
    }

    /// Takes a seat for a viewer; `None` if all are taken.
    pub(crate) fn enter(&self) -> Option<SeatOfViewer> {
        let Ok(permit) = Arc::clone(&self.seats).try_acquire_owned() else {
            self.refused.fetch_add(1, Ordering::Relaxed);
            counter!("jetwash_page_viewers_refused_total").increment(1);
            return None;
        };
        let viewers = gauge!("jetwash_page_viewers");
        viewers.increment(1);
        Some(SeatOfViewer {
            _permit: permit,
            viewers,
        })
    }

    /// How many viewers are there.
    pub(crate) fn viewers(&self) -> usize {
        let seats = self.options.max_viewers.min(Semaphore::MAX_PERMITS);
        seats.saturating_sub(self.seats.available_permits())
    }

    /// The status as an object of JSON, at most a second old. Those who ask meanwhile share one.
    pub(crate) async fn status(&self) -> Arc<str> {
        let mut latest = self.latest.lock().await;
        let now = Instant::now();
        if latest.made.is_some_and(|made| now - made < FRESH) {
            return Arc::clone(&latest.text);
        }
        let collections = latest.collections.rates(&self.jetstream).await;
        let consumers = latest.letters.views(&self.jetstream).await;
        let status = Status::new(Parts {
            jetstream: &self.jetstream,
            register: self.subscribers.register(),
            options: &self.options,
            consumers,
            collections,
            viewers: Viewers {
                count: self.viewers(),
                most: self.options.max_viewers,
                refused: self.refused.load(Ordering::Relaxed),
            },
        });
        let text = serde_json::to_string(&status).unwrap_or_else(|_| "{}".to_owned());
        (latest.made, latest.text) = (Some(now), text.into());
        Arc::clone(&latest.text)
    }

    pub(crate) fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts since the start.
    pub(crate) fn counts(&self) -> Counts {
        let snapshot = self.jetstream.snapshot();
        Counts {
            at: Instant::now(),
            frames: snapshot.frames,
            events: snapshot.events,
            bytes: snapshot.json_bytes,
            delivered: self.subscribers.register().delivered().events,
        }
    }
}

impl Drop for SeatOfViewer {
    fn drop(&mut self) {
        self.viewers.decrement(1);
    }
}

/// How old the status may be.
const FRESH: Duration = Duration::from_secs(1);
