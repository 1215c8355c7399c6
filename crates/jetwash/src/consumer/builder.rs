use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use jetwash_event::{ContentFilter, Filter};
use jetwash_store::{Cursor, LetterLimits};

use crate::consumer::driver::{Driver, Predicate};
use crate::consumer::handle::Shared;
use crate::consumer::settings::Settings;
use crate::consumer::{ConsumerError, ConsumerHandle, Handler, Retry, WhenStuck};
use crate::jetstream::Jetstream;
use crate::read::Walk;
use crate::read::{Event, StartFrom};

/// A consumer being set up: a handler's name, its events, and how they are handled.
///
/// [`Jetstream::consumer`] begins one, [`run`](Self::run) runs it.
///
/// # What is promised
///
/// - **At least once.** The stored cursor is the lowest position up to which everything is done: an
///   event is handled, was passed over because its handler said so, or is among the
///   [dead letters](Jetstream::dead_letters). After a crash the consumer continues from there. What
///   it had done beyond comes again; [`Event::id`](crate::Event::id) tells what was there before.
/// - **In order per account.** An event comes when those of its account before it are done, changes
///   of the account itself included. Accounts do not wait for each other: one whose handler hangs,
///   or is tried again and again, holds up nobody else.
/// - **Bounded.** Reading goes only as far ahead as keeps the workers busy. It stops when the
///   events at hand keep too much memory, or are too many since the cursor.
/// - **Never silent.** Failures, retries, stuck handlers and a full window are logged, counted in
///   the metrics, and in [`ConsumerHandle::status`] by account and cursor.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use jetwash::{Event, Jetstream, StartFrom, WhenStuck};
///
/// let (jetstream, _ingest) = Jetstream::builder().build()?;
/// let consumer = jetstream
///     .consumer("feed")
///     .start_from(StartFrom::Oldest)
///     .workers(4)
///     .stuck_after(Duration::from_secs(10))
///     .when_stuck(WhenStuck::DeadLetter);
/// let running = consumer.run(async |event: Event| std::fs::write("last.json", event.json()));
/// # drop(running);
/// # Ok::<(), jetwash::BuildError>(())
/// ```
#[must_use = "a consumer does nothing until it is run"]
pub struct Consumer {
    jetstream: Jetstream,
    shared: Arc<Shared>,
    settings: Settings,
    wanted: Vec<Predicate>,
    shutdown: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Jetstream {
    /// Sets up a consumer: code of yours that is called for each event, and continues where it was
    /// after a restart. The name is that of its cursor in the log's store: 1 to 128 bytes without
    /// control characters.
    ///
    /// # Examples
    ///
    /// ```
    /// use jetwash::{Event, Failure, Filter, Jetstream, NetworkConfig, StartFrom};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let network = NetworkConfig { accounts: 10, records: 100, ..NetworkConfig::default() };
    /// let (jetstream, ingest) = Jetstream::builder().simulator(network, None).build()?;
    /// tokio::spawn(ingest.run(std::future::pending()));
    ///
    /// let (seen, mut posts) = tokio::sync::mpsc::channel(10);
    /// let consumer = jetstream
    ///     .consumer("feed")
    ///     .filter(Filter::new().collections(["app.bsky.feed.post"])?)
    ///     .start_from(StartFrom::Oldest)
    ///     .workers(8);
    /// let handle = consumer.handle();
    /// let running = tokio::spawn(consumer.run(move |event: Event| {
    ///     let seen = seen.clone();
    ///     async move { seen.send(event.uri()).await.map_err(Failure::stop) }
    /// }));
    /// assert!(posts.recv().await.is_some());
    /// handle.stop().await;
    /// drop(posts);
    /// # let _ = running.await?;
    /// assert!(handle.status().handled > 0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn consumer(&self, name: &str) -> Consumer {
        let (registry, stats, intake) = self.consumer_parts();
        let shared = registry.get(name, self.store(), stats, intake);
        Consumer {
            jetstream: self.clone(),
            shared,
            settings: Settings::default(),
            wanted: Vec::new(),
            shutdown: None,
        }
    }

    /// The consumers that were set up and are still in use.
    #[must_use]
    pub fn consumers(&self) -> Vec<ConsumerHandle> {
        self.consumer_parts().0.all()
    }
}

impl Consumer {
    /// Sets which events it gets. Defaults to all. [`ConsumerHandle::set_filter`] changes it while
    /// the consumer runs.
    pub fn filter(mut self, filter: Filter) -> Self {
        self.settings.filter = filter;
        self
    }

    /// Skips records that do not match `filter`. Deletes and other events always pass.
    /// So does an update that does not match, marked as one that
    /// [no longer matches](Event::no_longer_matches): a [`TypedHandler`](crate::TypedHandler) is
    /// asked to delete it.
    ///
    /// [`ConsumerHandle::set_content`] changes it while the consumer runs.
    pub fn content(mut self, filter: ContentFilter) -> Self {
        self.settings.content.push(filter);
        self
    }

    /// Skips events for which `predicate` returns `false`, whatever other filters say. It is asked
    /// between reading and the workers, so it should be quick. Skipped events count as done. An
    /// event at which it panics is put aside as a dead letter.
    pub fn filter_with(mut self, predicate: impl Fn(&Event) -> bool + Send + 'static) -> Self {
        self.wanted.push(Box::new(predicate));
        self
    }

    /// Where it starts the first time: with the next event to arrive, [`StartFrom::Live`], if not
    /// said. From then on it continues after its stored cursor, whatever is said here.
    ///
    /// With [`StartFrom::Stored`] there has to be a stored cursor.
    pub const fn start_from(mut self, start: StartFrom) -> Self {
        self.settings.start = start;
        self
    }

    /// Sets how many events are handled at once, each of another account. Defaults to 1. With one
    /// worker they come in the order of the log, except for retries.
    pub const fn workers(mut self, workers: usize) -> Self {
        self.settings.workers = workers;
        self
    }

    /// How often, and how long apart, an event is tried that fails; as [`Retry::new`] says if not
    /// said. After that it is a dead letter.
    pub const fn retry(mut self, retry: Retry) -> Self {
        self.settings.retry = retry;
        self
    }

    /// Sets how many bytes of memory the events at hand may keep, exceeded by up to one block of
    /// events. Defaults to 32 MiB.
    pub const fn window_bytes(mut self, bytes: usize) -> Self {
        self.settings.window_bytes = bytes;
        self
    }

    /// Sets how many events may have been read since the cursor, done or not. Defaults to 100,000.
    /// This is the limit of what comes again after a crash, and of how far other accounts continue
    /// while one is stuck. Events take memory only until they are done.
    pub const fn window_events(mut self, events: u64) -> Self {
        self.settings.window_events = events;
        self
    }

    /// Sets how often the cursor is stored. Defaults to every second.
    pub const fn save_every(mut self, interval: Duration) -> Self {
        self.settings.save_every = interval;
        self
    }

    /// Sets after how many events the cursor is stored at the latest. Defaults to 10,000.
    pub const fn save_after(mut self, events: u64) -> Self {
        self.settings.save_after = events;
        self
    }

    /// When a handler that has not returned counts as stuck, and is named as such; 30 s if not
    /// said.
    pub const fn stuck_after(mut self, time: Duration) -> Self {
        self.settings.stuck_after = time;
        self
    }

    /// Sets the reaction to a stuck handler. Defaults to [`WhenStuck::Wait`].
    pub const fn when_stuck(mut self, reaction: WhenStuck) -> Self {
        self.settings.when_stuck = reaction;
        self
    }

    /// Sets how many dead letters there may be, and how many bytes they may take. Defaults to
    /// 10,000 and 64 MiB. When there is no room for another, the consumer stops rather than drop an
    /// event.
    pub const fn dead_letters(mut self, letters: u64, bytes: u64) -> Self {
        self.settings.letters = LetterLimits { letters, bytes };
        self
    }

    /// Stops with [`ConsumerError::Gap`] when events after its cursor are missing from the log: no
    /// longer kept, damaged, or perhaps taken by a power failure. Otherwise it calls
    /// [`Handler::gap`] and continues after them. Events that an upstream did not send never stop it.
    pub const fn stop_at_gaps(mut self) -> Self {
        self.settings.stop_at_gaps = true;
        self
    }

    /// Ends when this completes: what is in progress may finish, and the cursor is stored.
    pub fn shutdown(mut self, shutdown: impl Future<Output = ()> + Send + 'static) -> Self {
        self.shutdown = Some(Box::pin(shutdown));
        self
    }

    /// Sets how long events in progress may take at the end. Defaults to 10 s. Those that are not
    /// done by then come again at the next run.
    pub const fn drain_for(mut self, time: Duration) -> Self {
        self.settings.drain = time;
        self
    }

    /// A handle to watch and steer it.
    #[must_use]
    pub fn handle(&self) -> ConsumerHandle {
        ConsumerHandle {
            shared: Arc::clone(&self.shared),
        }
    }

    /// Calls the handler for each event, until the shutdown completes or the log ends: that is
    /// when [`Ingest::run`](crate::Ingest::run) has returned and every event is done.
    ///
    /// It makes no difference to order or to what is stored when this future is dropped, except
    /// that what was handled since the cursor was stored last comes again.
    ///
    /// # Errors
    ///
    /// When it cannot continue, or must not: see [`ConsumerError`]. What is in progress may finish,
    /// and the cursor is stored, before this returns.
    pub async fn run(self, handler: impl Handler) -> Result<(), ConsumerError> {
        let Self {
            jetstream,
            shared,
            settings,
            wanted,
            shutdown,
        } = self;
        let name = || shared.name.clone();
        if let Some(what) = mistake_in(&shared.name).or_else(|| settings.mistake()) {
            return Err(ConsumerError::Setting { name: name(), what });
        }
        let claimed = shared.claim();
        let (_claim, commands) = claimed.ok_or_else(|| ConsumerError::InUse { name: name() })?;
        drop(shared.saving.lock().await);
        let stored = shared.store.named_cursor(&shared.name);
        let start = stored.map_or(settings.start, StartFrom::Cursor);
        let reader = jetstream.reader(start).await;
        let reader = reader.map_err(|source| ConsumerError::Read {
            name: name(),
            source,
        })?;
        let stored = match stored.filter(|stored| stored.next() > reader.next_seq()) {
            // What the log gets up to there would be passed over.
            Some(_) => Some(
                shared
                    .come_back_to(Cursor::before(reader.next_seq()))
                    .await?,
            ),
            None => stored,
        };
        let walk = Walk::new(reader, settings.filter.clone());
        drop(jetstream);
        let driver = Driver::new(Arc::clone(&shared), settings, walk, stored, handler);
        driver.only(wanted).run(commands, shutdown).await
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("name", &self.shared.name)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

fn mistake_in(name: &str) -> Option<String> {
    let fits = (1..=128).contains(&name.len()) && !name.contains(char::is_control);
    (!fits).then(|| "this name: 1 to 128 bytes without control characters are allowed".to_owned())
}
