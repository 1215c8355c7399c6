use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use jetwash_event::{ContentFilter, Filter, Micros};
use jetwash_store::{Cursor, Seq, Store, StoredLetter};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::consumer::{Behind, ConsumerError, ConsumerStatus, HeldBy, Lag, StuckHandler};
use crate::executor::run_blocking;
use crate::ingest::Intake;
use crate::read::ReadError;
use crate::stats::Stats;

/// Observes and controls a consumer while it runs.
///
/// [`Consumer::handle`](crate::Consumer::handle) returns one before the run, and
/// [`Jetstream::consumers`](crate::Jetstream::consumers) those of all consumers.
#[derive(Clone, Debug)]
pub struct ConsumerHandle {
    pub(super) shared: Arc<Shared>,
}

impl ConsumerHandle {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Returns the current status.
    #[must_use]
    pub fn status(&self) -> ConsumerStatus {
        self.shared.status()
    }

    /// How far it is behind.
    #[must_use]
    pub fn lag(&self) -> Lag {
        self.shared.lag()
    }

    /// Continues with another filter: for all events after the cursor that is returned. Those up to
    /// it were read with the old one, and are still handled. The filter by content stays.
    ///
    /// # Errors
    ///
    /// When the consumer does not run.
    pub async fn set_filter(&self, filter: Filter) -> Result<Cursor, NotRunning> {
        self.change(Some(filter), None).await
    }

    /// Continues with another filter by content, in place of [all](crate::Consumer::content) that
    /// there were: for all events after the cursor that is returned. Those up to it were judged by
    /// the old ones. What [`filter_with`](crate::Consumer::filter_with) says stays.
    ///
    /// # Errors
    ///
    /// When the consumer does not run.
    ///
    /// # Examples
    ///
    /// ```
    /// use jetwash::testing::{SimChange, did, frames_from};
    /// use jetwash::{ContentFilter, Event, Failure, Jetstream, StartFrom};
    /// use serde_json::json;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let post = |key, text| {
    ///     let post = json!({"$type": "app.bsky.feed.post", "text": text});
    ///     SimChange::create(did(0), "app.bsky.feed.post", key, post)
    /// };
    /// let frames = frames_from([post("1", "Kaffe"), post("2", "Te"), post("3", "Kaffe"), post("4", "Te")])?;
    /// let (jetstream, ingest) = Jetstream::builder().build()?;
    /// tokio::spawn(ingest.run(std::future::pending()));
    ///
    /// let (seen, mut keys) = tokio::sync::mpsc::channel(10);
    /// let consumer = jetstream
    ///     .consumer("drinks")
    ///     .start_from(StartFrom::Oldest)
    ///     .content(ContentFilter::new().text("kaffe"));
    /// let handle = consumer.handle();
    /// tokio::spawn(consumer.run(move |event: Event| {
    ///     let seen = seen.clone();
    ///     async move { seen.send(event.uri()).await.map_err(Failure::stop) }
    /// }));
    /// let pusher = jetstream.pusher("example");
    /// pusher.push(frames[0].clone()).await?;
    /// assert!(keys.recv().await.flatten().is_some_and(|uri| uri.ends_with("/1")));
    ///
    /// handle.set_content(ContentFilter::new().text("te")).await?;
    /// for frame in &frames[1..] {
    ///     pusher.push(frame.clone()).await?;
    /// }
    /// assert!(keys.recv().await.flatten().is_some_and(|uri| uri.ends_with("/2")));
    /// assert!(keys.recv().await.flatten().is_some_and(|uri| uri.ends_with("/4")));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn set_content(&self, filter: ContentFilter) -> Result<Cursor, NotRunning> {
        self.change(None, Some(filter)).await
    }

    /// As [`set_filter`](Self::set_filter) and [`set_content`](Self::set_content), both between the
    /// same two events.
    ///
    /// # Errors
    ///
    /// When the consumer does not run.
    pub async fn set_filters(
        &self,
        filter: Filter,
        content: ContentFilter,
    ) -> Result<Cursor, NotRunning> {
        self.change(Some(filter), Some(content)).await
    }

    /// Ends it as its shutdown does: what is in progress may finish, and the cursor is stored.
    /// Does nothing if it does not run.
    pub async fn stop(&self) {
        // It may end by itself meanwhile, which is what was asked for.
        let _ = self.send(Command::Stop).await;
    }

    async fn change(
        &self,
        filter: Option<Filter>,
        content: Option<ContentFilter>,
    ) -> Result<Cursor, NotRunning> {
        let (reply, answer) = oneshot::channel();
        let command = Command::SetFilters {
            filter,
            content: content.map(Box::new),
            reply,
        };
        self.send(command).await?;
        answer.await.map_err(|_| self.not_running())
    }

    pub(super) async fn send(&self, command: Command) -> Result<(), NotRunning> {
        let commands = lock(&self.shared.commands).clone();
        let commands = commands.ok_or_else(|| self.not_running())?;
        let sent = commands.send(command).await;
        sent.map_err(|_| self.not_running())
    }

    pub(super) fn not_running(&self) -> NotRunning {
        NotRunning {
            name: self.shared.name.clone(),
        }
    }
}

/// The consumer does not run, so it takes no requests.
///
/// # Examples
///
/// ```
/// use jetwash::{Filter, Jetstream, NotRunning};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (jetstream, _ingest) = Jetstream::builder().build()?;
/// let handle = jetstream.consumer("feed").handle();
/// let NotRunning { name } = handle.set_filter(Filter::new()).await.unwrap_err();
/// assert_eq!(name, "feed");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("the consumer {name:?} does not run")]
pub struct NotRunning {
    /// Its name.
    pub name: String,
}

/// A request from a handle to the driver.
#[derive(Debug)]
pub(super) enum Command {
    /// Those that are given, both between the same two events; the reply is after which.
    SetFilters {
        filter: Option<Filter>,
        content: Option<Box<ContentFilter>>,
        reply: oneshot::Sender<Cursor>,
    },
    /// To be handled again; the reply is whether that went well.
    Replay(StoredLetter, oneshot::Sender<bool>),
    Stop,
}

/// The state that a consumer shares with its handles.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(super) name: String,
    pub(super) store: Store,
    pub(super) stats: Arc<Stats>,
    intake: Intake,
    pub(super) state: Mutex<State>,
    /// Held while the cursor is being written.
    pub(super) saving: Arc<tokio::sync::Mutex<()>>,
    /// There while it runs.
    commands: Mutex<Option<mpsc::Sender<Command>>>,
}

/// The latest report of the driver.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) cursor: Option<Cursor>,
    pub(super) stored: Option<Cursor>,
    pub(super) counts: Counts,
    pub(super) at_hand: usize,
    pub(super) at_hand_bytes: usize,
    pub(super) window_full: bool,
    pub(super) held_by: Option<(Seq, Arc<str>)>,
    pub(super) in_progress: Vec<InProgress>,
    pub(super) stuck_after: Duration,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) handled: u64,
    pub(super) failed: u64,
    pub(super) panicked: u64,
    pub(super) skipped: u64,
    pub(super) dead_lettered: u64,
    pub(super) lost: u64,
    pub(super) gaps: u64,
}

#[derive(Clone, Debug)]
pub(super) struct InProgress {
    pub(super) seq: Seq,
    pub(super) did: Arc<str>,
    pub(super) since: Instant,
    pub(super) attempt: u32,
}

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Takes the name, until the guard is dropped; `None` if it is taken.
    pub(super) fn claim(self: &Arc<Self>) -> Option<(Claim, mpsc::Receiver<Command>)> {
        let mut commands = lock(&self.commands);
        if commands.is_some() {
            return None;
        }
        let (sender, receiver) = mpsc::channel(COMMANDS);
        *commands = Some(sender);
        *self.state() = State::default();
        Some((Claim(Arc::clone(self)), receiver))
    }

    /// Stores a cursor that is ahead of the log anew, where the log ends.
    pub(super) async fn come_back_to(&self, to: Cursor) -> Result<Cursor, ConsumerError> {
        let (store, name) = (self.store.clone(), self.name.clone());
        let may_block = store.may_block();
        let reset = run_blocking(may_block, move || store.reset_named_cursor(&name, to));
        let name = || self.name.clone();
        match reset.await {
            Ok(Ok(_)) => Ok(to),
            Ok(Err(source)) => Err(ConsumerError::Cursor {
                name: name(),
                source,
            }),
            Err(_) => Err(ConsumerError::Read {
                name: name(),
                source: ReadError::ShuttingDown,
            }),
        }
    }

    pub(super) fn status(&self) -> ConsumerStatus {
        // Before the state is locked, since it locks the state itself.
        let lag = self.lag();
        let running = lock(&self.commands).is_some();
        let state = self.state();
        let now = Instant::now();
        let mut stuck: Vec<StuckHandler> = state
            .in_progress
            .iter()
            .map(|work| StuckHandler {
                seq: work.seq,
                did: work.did.to_string(),
                since: now.saturating_duration_since(work.since),
                attempt: work.attempt,
            })
            .filter(|work| work.since >= state.stuck_after)
            .collect();
        stuck.sort_by_key(|work| std::cmp::Reverse(work.since));
        let counts = state.counts;
        ConsumerStatus {
            name: self.name.clone(),
            running,
            cursor: state.cursor,
            stored: state.stored,
            handled: counts.handled,
            failed: counts.failed,
            panicked: counts.panicked,
            skipped: counts.skipped,
            dead_lettered: counts.dead_lettered,
            lost: counts.lost,
            gaps: counts.gaps,
            at_hand: state.at_hand,
            at_hand_bytes: state.at_hand_bytes,
            in_progress: state.in_progress.len(),
            window_full: state.window_full,
            held_by: state.held_by.as_ref().map(|(seq, did)| HeldBy {
                seq: *seq,
                did: did.to_string(),
            }),
            stuck,
            lag,
        }
    }

    pub(super) fn lag(&self) -> Lag {
        let cursor = self.state().cursor;
        let cursor = cursor.or_else(|| self.store.named_cursor(&self.name));
        let (upstream, wait) = self.stats.delays();
        let (events, bytes) = self.intake.queued();
        let decode = Behind {
            time: wait,
            events,
            bytes,
        };
        let remaining = cursor.map(|cursor| self.store.remaining(cursor.next()));
        let handler = remaining.map_or_else(Behind::default, |remaining| Behind {
            time: remaining.first_time_us.map_or(Duration::ZERO, age),
            events: remaining.events,
            bytes: remaining.bytes,
        });
        Lag {
            upstream,
            decode,
            handler,
        }
    }
}

/// Marks the consumer as running until dropped.
pub(super) struct Claim(Arc<Shared>);

impl Drop for Claim {
    fn drop(&mut self) {
        *lock(&self.0.commands) = None;
        let mut state = self.0.state();
        state.in_progress.clear();
        (state.at_hand, state.at_hand_bytes) = (0, 0);
        (state.window_full, state.held_by) = (false, None);
    }
}

/// The consumers of a Jetstream by name.
#[derive(Debug, Default)]
pub(crate) struct Registry(Mutex<BTreeMap<String, Arc<Shared>>>);

impl Registry {
    pub(crate) fn get(
        &self,
        name: &str,
        store: &Store,
        stats: &Arc<Stats>,
        intake: &Intake,
    ) -> Arc<Shared> {
        let mut consumers = lock(&self.0);
        if let Some(shared) = consumers.get(name) {
            return Arc::clone(shared);
        }
        // Names come and go: entries that nobody holds would pile up.
        consumers.retain(|_, shared| Arc::strong_count(shared) > 1);
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            store: store.clone(),
            stats: Arc::clone(stats),
            intake: intake.clone(),
            state: Mutex::default(),
            saving: Arc::default(),
            commands: Mutex::default(),
        });
        consumers.insert(name.to_owned(), Arc::clone(&shared));
        shared
    }

    pub(crate) fn all(&self) -> Vec<ConsumerHandle> {
        let consumers = lock(&self.0);
        let handle = |shared: &Arc<Shared>| ConsumerHandle {
            shared: Arc::clone(shared),
        };
        consumers.values().map(handle).collect()
    }
}

const COMMANDS: usize = 16;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn age(time: Micros) -> Duration {
    Micros::from(SystemTime::now()).since(time)
}
