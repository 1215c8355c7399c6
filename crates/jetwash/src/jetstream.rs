use std::any::Any;
use std::collections::HashMap;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use jetwash_dict::Dictionary;
use jetwash_event::{DidChange, Filter};
use jetwash_store::{Appender, Bounds, FrameStart, LogId, Store, StoreError};
use metrics::histogram;
use thiserror::Error;
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::{self, JoinError, JoinSet};
use tokio::time::{Instant, interval, sleep, sleep_until};
use tracing::{error, info, warn};

use crate::auto_dictionary::AutoDictionary;
use crate::builder::{JetstreamBuilder, Source};
use crate::clock::Clock;
use crate::consumer::Registry;
use crate::ingest::Pipeline;
use crate::ingest::RecordCache;
use crate::ingest::{Arrival, Content, Intake, Stopped};
use crate::ingest::{ClockNews, LogTime};
use crate::panic::{Panic, catch};
use crate::read::{Cursor, Event, ReadError, Reader, StartFrom, Subscription};
use crate::read::{FrameSubscription, FramesError};
use crate::source::{Endpoint, NotReady, Prepared, Relay, Upstream, Watch};
use crate::stats::{Snapshot, Stats};

/// The firehose as events: sources on one side, a log, and subscriptions on the other.
///
/// It is a handle, cheap to clone. [`run`](Self::run) does the work, and may be called once;
/// subscriptions can be made before, during and after.
#[derive(Clone, Debug)]
pub struct Jetstream {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    store: Store,
    stats: Arc<Stats>,
    cursors: Arc<Cursors>,
    useless: Arc<Useless>,
    intake: Intake,
    /// The dictionary in use, changed by the writer before any event that it is used for.
    dictionary: Arc<watch::Sender<Option<Dictionary>>>,
    rotations: mpsc::Sender<Rotation>,
    positions: mpsc::Sender<oneshot::Sender<u64>>,
    records: Option<Arc<RecordCache>>,
    consumers: Registry,
    upstreams: Vec<Arc<Watch>>,
    parts: Mutex<Option<Parts>>,
}

/// What `run` takes.
struct Parts {
    pipeline: Pipeline,
    arrivals: mpsc::Receiver<Arrival>,
    rotations: mpsc::Receiver<Rotation>,
    positions: mpsc::Receiver<oneshot::Sender<u64>>,
    relays: Relays,
    sources: Vec<Source>,
    commit_delay: Duration,
    clock: Clock,
    auto: Option<(AutoDictionary, bool)>,
}

/// The relays, and how they are connected to; `None` if nobody will be.
type Relays = (Vec<Endpoint>, Option<Prepared>);

/// A dictionary to be used from now on, and who waits to hear from which position on that is.
struct Rotation {
    dictionary: Dictionary,
    answer: oneshot::Sender<Result<u64, StoreError>>,
}

/// The sources' cursors as of the last commit.
type Cursors = Mutex<HashMap<Arc<str>, Known>>;

/// How far a source has been read, and what it is to be asked for next.
#[derive(Clone, Copy, Debug)]
struct Known {
    cursor: Option<u64>,
    resume: Option<u64>,
}

/// By the names of the relays: says that a connection is of no use, and another is to be made.
type Useless = HashMap<String, Notify>;

impl Jetstream {
    /// Settings to be filled in.
    pub fn builder() -> JetstreamBuilder {
        JetstreamBuilder::default()
    }

    /// Connects to the sources and feeds the log until `shutdown` completes.
    ///
    /// Relays are connected to again whenever a connection ends. That a source of the caller's own
    /// has ended, or all of them, ends nothing here: frames may still be pushed, and read.
    ///
    /// What has arrived by the shutdown is committed before this returns. The log then ends for
    /// its readers: each subscription gives what is left, and then `None`. Once they and all clones
    /// of the Jetstream are dropped, the log can be opened again.
    ///
    /// Dropping the future comes to the same, except that nobody can wait for the end; and so does
    /// dropping the runtime that it was called on.
    ///
    /// While the disk is full, or cannot be written for another reason, sources wait and readers go
    /// on with what is in the log; [`Snapshot::stalled`] says why. The log is tried again every
    /// few seconds, and goes on where it was: nothing is missing then that the sources still have.
    ///
    /// # Errors
    ///
    /// When it is to shut down and the log cannot be written just then, when the log fails in a way
    /// that no waiting can mend, or when this has been called before.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) -> Result<(), RunError> {
        let parts = self.shared.parts().take();
        let Some(Parts {
            pipeline,
            arrivals,
            rotations,
            positions,
            relays,
            sources,
            commit_delay,
            clock,
            auto,
        }) = parts
        else {
            return Err(RunError::AlreadyRun);
        };
        let stop = Arc::new(watch::Sender::new(false));
        let (end, mut ended) = oneshot::channel();
        let cursors = Arc::clone(&self.shared.cursors);
        let useless = Arc::clone(&self.shared.useless);
        let writer = Writer {
            pipeline,
            arrivals,
            rotations,
            positions,
            dictionary: Arc::clone(&self.shared.dictionary),
            commit_delay,
            clock: clock.clone(),
            time: LogTime::new(self.bounds().newest_time_us),
            told: None,
            cursors,
            useless,
            stats: Arc::clone(&self.shared.stats),
            stopped: Some(stop.subscribe()),
        };
        let (stop, with_runtime) = (Stop(Arc::clone(&stop)), Stop(stop));
        let runtime = Handle::current();
        let stats = Arc::clone(&self.shared.stats);
        thread::Builder::new()
            .name("jetwash-writer".to_owned())
            .spawn(move || {
                let outcome = match catch(|| writer.run(&runtime)) {
                    Ok(outcome) => outcome.map_err(RunError::Store),
                    Err(panic) => {
                        stats.panicked("writer", &panic);
                        Err(RunError::Panicked(panic.to_string()))
                    }
                };
                // Nobody listens if `run` was dropped, which is a stop like any other.
                let _ = end.send(outcome);
            })
            .map_err(RunError::Thread)?;
        // Of a runtime that goes down, tasks are dropped before its timers end.
        let mut guard = JoinSet::new();
        guard.spawn(with_runtime.hold());
        let mut tasks = self.start_sources(relays, sources, &clock);
        let (reading, mut read) = mpsc::channel::<Infallible>(1);
        if let Some((auto, is_trained)) = auto {
            let attend = auto.attend(self.clone(), is_trained, reading.clone());
            tasks.spawn("trainer", "auto dictionary", attend);
        }
        drop(reading);
        let early = {
            let mut shutdown = pin!(shutdown);
            loop {
                tokio::select! {
                    () = &mut shutdown => break None,
                    outcome = &mut ended => break Some(outcome),
                    () = tasks.ended() => {}
                }
            }
        };
        let died = tasks.shutdown().await;
        drop(stop);
        let outcome = match early {
            Some(outcome) => outcome,
            None => ended.await,
        };
        // So that the log can be opened again as soon as this has returned.
        let _ = read.recv().await;
        outcome.map_err(|_| RunError::Panicked("it was not asked to end".to_owned()))??;
        died.map_or(Ok(()), Err)
    }

    /// Events from a position on that `filter` matches.
    ///
    /// # Errors
    ///
    /// When the log cannot be read to find the position.
    pub async fn subscribe(
        &self,
        start: StartFrom,
        filter: Filter,
    ) -> Result<Subscription, ReadError> {
        let stats = Arc::clone(&self.shared.stats);
        Ok(Subscription::new(self.reader(start).await?, filter, stats))
    }

    /// The log block by block from a position on, for those who serve it.
    ///
    /// # Errors
    ///
    /// When the log cannot be read to find the position.
    pub async fn reader(&self, start: StartFrom) -> Result<Reader, ReadError> {
        let store = self.shared.store.clone();
        // Only a time has to be looked up, which may touch the disk.
        if !matches!(start, StartFrom::Time(_)) {
            return Reader::open(store, start);
        }
        let open = task::spawn_blocking(move || Reader::open(store, start));
        open.await.map_err(ReadError::from)?
    }

    /// A way to put frames in by hand, under a name that its cursor is kept by.
    #[must_use]
    pub fn pusher(&self, name: &str) -> Pusher {
        Pusher {
            source: name.into(),
            intake: self.shared.intake.clone(),
        }
    }

    /// The raw frames of a source, from a sequence number on: those that are
    /// [kept](JetstreamBuilder::keep_frames), and then those to come.
    ///
    /// A relay's name is its [`Endpoint`] as text. The source need not have sent anything yet.
    ///
    /// # Errors
    ///
    /// When frames are not kept.
    pub fn kept_frames(
        &self,
        source: &str,
        start: FrameStart,
    ) -> Result<FrameSubscription, FramesError> {
        FrameSubscription::open(&self.shared.store, source, start)
    }

    /// The sequence number up to which the frames of a source are in the log.
    ///
    /// A relay's name is its [`Endpoint`] as text.
    #[must_use]
    pub fn source_cursor(&self, name: &str) -> Option<u64> {
        self.shared.known(name)?.cursor
    }

    /// The dictionary that events are compressed with at the moment, if any.
    #[must_use]
    pub fn dictionary(&self) -> Option<Dictionary> {
        self.shared.dictionary.borrow().clone()
    }

    /// Tells of each [rotation](Self::rotate_dictionary), before the first event that it concerns
    /// can be read.
    #[must_use]
    pub fn dictionary_changes(&self) -> watch::Receiver<Option<Dictionary>> {
        self.shared.dictionary.subscribe()
    }

    /// Compresses events with another dictionary from now on, and gives the position of the first
    /// that is. It may be called before [`run`](Self::run) and while it goes on.
    ///
    /// Events that are in the log stay as they are, and the log keeps the dictionaries that they
    /// need: see [`Store::dictionaries`].
    ///
    /// # Errors
    ///
    /// When the log has another dictionary of the same number, or cannot store this one; the one
    /// before it then stays in use. And when the Jetstream has stopped.
    ///
    /// # Examples
    ///
    /// ```
    /// use jetwash::{Dictionary, Jetstream};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let jetstream = Jetstream::builder().build()?;
    /// let samples = (0..1000).map(|n| format!(r#"{{"did":"did:web:{n}.example","time_us":{n}}}"#));
    /// let dictionary = Dictionary::train(samples, 1024, 20_261_122)?;
    /// assert_eq!(jetstream.rotate_dictionary(dictionary.clone()).await?, 1);
    /// assert_eq!(jetstream.dictionary(), Some(dictionary));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn rotate_dictionary(&self, dictionary: Dictionary) -> Result<u64, RotateError> {
        if let Some(parts) = &mut *self.shared.parts() {
            let position = parts.pipeline.rotate_dictionary(&dictionary)?;
            self.shared.dictionary.send_replace(Some(dictionary));
            return Ok(position);
        }
        let (answer, answered) = oneshot::channel();
        let rotation = Rotation { dictionary, answer };
        let sent = self.shared.rotations.send(rotation).await;
        sent.map_err(|_| RotateError::Stopped)?;
        Ok(answered.await.map_err(|_| RotateError::Stopped)??)
    }

    /// The cursor from which a change of a [`DidSet`](crate::DidSet) holds: every event after it
    /// was judged with the change, by the ingest filter and by every subscription, poll and
    /// consumer, and with all changes before it.
    ///
    /// A subscription that is behind the log's tip judges earlier events with the change too, from
    /// the next that it gives. The change itself holds already; this only finds out from where, and
    /// takes as long as the frames do that are being dealt with.
    ///
    /// # Errors
    ///
    /// When the Jetstream has stopped: there will be no events for the change to hold for.
    ///
    /// # Examples
    ///
    /// ```
    /// use jetwash::{DidSet, Filter, Jetstream};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let set = DidSet::new();
    /// let filter = Filter::new().did_set(set.clone());
    /// let jetstream = Jetstream::builder().ingest_filter(filter).build()?;
    /// let change = set.add("did:plc:ewvi7nxzyoun6zhxrhs64oiz")?;
    /// let cursor = jetstream.holds_from(change).await?;
    /// // The log is empty: it holds from the first event.
    /// assert_eq!(cursor.get(), 0);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn holds_from(&self, _change: DidChange) -> Result<Cursor, Stopped> {
        if let Some(parts) = &*self.shared.parts() {
            return Ok(Cursor::new(parts.pipeline.next_seq() - 1));
        }
        let (answer, answered) = oneshot::channel();
        let asked = self.shared.positions.send(answer).await;
        asked.map_err(|_| Stopped)?;
        let next = answered.await.map_err(|_| Stopped)?;
        Ok(Cursor::new(next - 1))
    }

    /// The record, as JSON, that a deletion has deleted or an update replaced, if it came in not
    /// long ago: see [`JetstreamBuilder::record_cache`], without which there is none.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # fn example(jetstream: jetwash::Jetstream, event: jetwash::Event) {
    /// if let Some(record) = jetstream.previous(&event) {
    ///     println!("{:?} was {record}", event.uri());
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn previous(&self, event: &Event) -> Option<Arc<str>> {
        self.shared.records.as_ref()?.before(event.cursor().get())
    }

    /// What the log holds.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        self.shared.store.bounds()
    }

    /// The log itself, to read from.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.shared.store
    }

    /// Which log this is. Positions mean nothing in another, so a cursor that is kept outside the
    /// log is to be kept with it.
    #[must_use]
    pub fn log_id(&self) -> LogId {
        self.shared.store.log_id()
    }

    /// What has been done so far: frames, events, and what was dropped and why.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.shared.stats.snapshot()
    }

    /// The relays, and how the connection to each is; sources of the caller's own are not among
    /// them.
    ///
    /// # Examples
    ///
    /// ```
    /// use jetwash::{Jetstream, UpstreamState};
    ///
    /// let jetstream = Jetstream::builder().relay("relay.example").build()?;
    /// for upstream in jetstream.upstreams() {
    ///     println!("{}: {}", upstream.name, upstream.state.name());
    ///     assert_eq!(upstream.state, UpstreamState::Connecting { attempt: 0 });
    /// }
    /// # Ok::<(), jetwash::BuildError>(())
    /// ```
    #[must_use]
    pub fn upstreams(&self) -> Vec<Upstream> {
        let (now, stalled) = (Instant::now(), self.shared.stats.stalled());
        let watches = self.shared.upstreams.iter();
        watches
            .map(|watch| watch.view(now, stalled.as_deref()))
            .collect()
    }

    /// Whether this does its work: the log can be written, and one relay at least is connected and
    /// heard. A quiet host is heard by its pongs. Where there is no relay, only sources of the
    /// caller's own, the log alone counts.
    ///
    /// # Errors
    ///
    /// Why it is not ready.
    pub fn readiness(&self) -> Result<(), NotReady> {
        let shared = &self.shared;
        if shared.parts().is_some() || shared.intake.is_closed() {
            return Err(NotReady::NotRunning);
        }
        if let Some(reason) = shared.stats.stalled() {
            return Err(NotReady::LogStalled(reason));
        }
        if shared.upstreams.is_empty() || shared.upstreams.iter().any(|watch| watch.is_connected())
        {
            return Ok(());
        }
        let ends = self.upstreams().into_iter().map(|upstream| {
            let end = upstream
                .last_end
                .as_deref()
                .unwrap_or("the first attempt is under way");
            format!("{}: {end}", upstream.name)
        });
        Err(NotReady::NoUpstream(ends.collect::<Vec<_>>().join("; ")))
    }

    /// Counts the panic of a task that belongs to this, in [`Snapshot::panics`], and tells of it in
    /// the program's log: for servers and whatever else is built on it. `task` is a name from a
    /// fixed list, never text from outside.
    ///
    /// # Examples
    ///
    /// ```
    /// use jetwash::Jetstream;
    ///
    /// let jetstream = Jetstream::builder().build()?;
    /// let painter = std::thread::spawn(|| panic!("out of paint"));
    /// if let Err(payload) = painter.join() {
    ///     jetstream.report_panic("painter", &*payload);
    /// }
    /// assert_eq!(jetstream.snapshot().panics["painter"], 1);
    /// # Ok::<(), jetwash::BuildError>(())
    /// ```
    pub fn report_panic(&self, task: &'static str, payload: &(dyn Any + Send)) {
        self.shared.stats.panicked(task, &Panic::new(payload));
    }

    fn start_sources(
        &self,
        (relays, options): Relays,
        sources: Vec<Source>,
        clock: &Clock,
    ) -> Tasks {
        let mut tasks = Tasks::new(Arc::clone(&self.shared.stats));
        let options = options.map(Arc::new).filter(|_| !relays.is_empty());
        if let Some(options) = options {
            for (endpoint, watch) in relays.into_iter().zip(&self.shared.upstreams) {
                let (watch, options) = (Arc::clone(watch), Arc::clone(&options));
                let (name, shared) = (endpoint.to_string(), Arc::clone(&self.shared));
                let died = tasks.died.clone();
                let run = follow(endpoint, shared, watch, clock.clone(), options, died);
                tasks.spawn("relay", name, run);
            }
            crate::source::describe();
            tasks.spawn(
                "metrics",
                "of the relays",
                publish(Arc::clone(&self.shared)),
            );
        }
        for mut source in sources {
            if let Some(cursor) = source.cursor.take() {
                // Without a stream that waits for it there are no frames either.
                let _ = cursor.send(self.source_cursor(&source.name));
            }
            let name = source.name.clone();
            tasks.spawn("source", name, feed(source, self.shared.intake.clone()));
        }
        tasks
    }

    /// What consumers need of it: their register, and what they tell of the way in.
    pub(crate) fn consumer_parts(&self) -> (&Registry, &Arc<Stats>, &Intake) {
        let shared = &self.shared;
        (&shared.consumers, &shared.stats, &shared.intake)
    }

    pub(crate) fn assemble(
        builder: JetstreamBuilder,
        relays: Relays,
        cursors: Vec<(String, u64)>,
        (appender, store): (Appender, Store),
    ) -> Result<Self, StoreError> {
        let stats = Arc::new(Stats::default());
        let known = builder.auto_dictionary.as_ref();
        let known = known.and_then(|_| appender.dictionary());
        let auto = builder.auto_dictionary;
        let auto = auto.map(|auto| (auto, known.is_some() && known != builder.dictionary));
        let dictionary = known.or(builder.dictionary);
        let records = builder.record_cache.map(RecordCache::new).map(Arc::new);
        let mut pipeline = Pipeline::new(appender)
            .filter(builder.filter)
            .check_blocks(builder.block_check)
            .record_cache(records.clone())
            .stats(Arc::clone(&stats));
        if let Some(predicate) = builder.predicate {
            pipeline = pipeline.filter_with(predicate);
        }
        if let Some(dictionary) = &dictionary {
            pipeline = pipeline.dictionary(dictionary)?;
        }
        let endpoints = &relays.0;
        if endpoints.len() + builder.sources.len() > 1 {
            pipeline = pipeline.deduplicate();
        }
        for (name, cursor) in cursors {
            pipeline.set_cursor(&name, cursor);
        }
        let watch = |endpoint: &Endpoint| Arc::new(Watch::new(endpoint.to_string().into()));
        let upstreams = endpoints.iter().map(watch).collect();
        let names = endpoints.iter().map(Endpoint::to_string);
        let names = names.chain(builder.sources.iter().map(|source| source.name.clone()));
        let known = names.map(|name| {
            let (cursor, resume) = (pipeline.cursor(&name), pipeline.resume_from(&name));
            (name.as_str().into(), Known { cursor, resume })
        });
        let cursors = Arc::new(Mutex::new(known.collect()));
        let useless = endpoints
            .iter()
            .map(|relay| (relay.to_string(), Notify::new()));
        let useless = Arc::new(useless.collect());
        let budget = builder.intake_bytes.unwrap_or(INTAKE_BYTES);
        let (intake, arrivals) = Intake::new(u32::try_from(budget).unwrap_or(u32::MAX));
        let (rotations, to_rotate) = mpsc::channel(1);
        let (positions, asked) = mpsc::channel(1);
        let parts = Parts {
            pipeline,
            arrivals,
            rotations: to_rotate,
            positions: asked,
            relays,
            sources: builder.sources,
            commit_delay: builder.commit_delay.unwrap_or(COMMIT_DELAY),
            clock: builder.clock,
            auto,
        };
        let parts = Mutex::new(Some(parts));
        let shared = Shared {
            store,
            stats,
            cursors,
            useless,
            intake,
            dictionary: Arc::new(watch::Sender::new(dictionary)),
            rotations,
            positions,
            records,
            consumers: Registry::default(),
            upstreams,
            parts,
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }
}

impl Shared {
    fn known(&self, source: &str) -> Option<Known> {
        self.cursors
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(source)
            .copied()
    }

    fn parts(&self) -> MutexGuard<'_, Option<Parts>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts")
            .field("relays", &self.relays.0)
            .finish_non_exhaustive()
    }
}

/// Puts frames into a [`Jetstream`] by hand.
#[derive(Clone, Debug)]
pub struct Pusher {
    source: Arc<str>,
    intake: Intake,
}

impl Pusher {
    /// Hands over one frame; waits while the pipeline has enough to do.
    ///
    /// # Errors
    ///
    /// When the Jetstream has stopped.
    pub async fn push(&self, frame: impl Into<Bytes>) -> Result<(), Stopped> {
        self.intake.send(&self.source, frame.into()).await
    }
}

/// Why a [rotation](Jetstream::rotate_dictionary) did not take place.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RotateError {
    /// There will be no more events to compress.
    #[error("this Jetstream has stopped")]
    Stopped,
    /// The log does not take the dictionary.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why [`Jetstream::run`] ended other than by its shutdown.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RunError {
    /// A `Jetstream` runs once. Build another on the same folder to run again.
    #[error("this Jetstream has been run before; build another one")]
    AlreadyRun,
    /// The thread that writes the log died, with this message.
    #[error("the writer's thread panicked: {0}")]
    Panicked(String),
    /// The log cannot be written.
    #[error(transparent)]
    Store(StoreError),
    /// A source panicked, or another task that belongs to the run. The others went on until the
    /// shutdown, after which this is told; what connects to a relay was started again. The first
    /// such panic counts; all are in [`Snapshot::panics`].
    #[error("the {task} {name} panicked: {message}")]
    TaskPanicked {
        /// The kind of task, as in [`Snapshot::panics`].
        task: &'static str,
        /// The name of the source.
        name: String,
        /// What the panic said.
        message: String,
    },
    /// The operating system gave no thread.
    #[error("the writer's thread could not be started: {0}")]
    Thread(std::io::Error),
}

/// The first task that panicked, for [`Jetstream::run`] to tell at its end.
#[derive(Clone, Debug, Default)]
struct Died(Arc<Mutex<Option<RunError>>>);

impl Died {
    fn note(&self, task: &'static str, name: String, panic: &Panic) {
        let message = panic.to_string();
        let mut died = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        died.get_or_insert(RunError::TaskPanicked {
            task,
            name,
            message,
        });
    }

    fn take(&self) -> Option<RunError> {
        let mut died = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        died.take()
    }
}

/// The tasks of a run, each of whose ends is looked at.
struct Tasks {
    set: JoinSet<()>,
    names: HashMap<task::Id, (&'static str, String)>,
    stats: Arc<Stats>,
    died: Died,
}

impl Tasks {
    fn new(stats: Arc<Stats>) -> Self {
        Self {
            set: JoinSet::new(),
            names: HashMap::new(),
            stats,
            died: Died::default(),
        }
    }

    fn spawn(
        &mut self,
        kind: &'static str,
        name: impl Into<String>,
        run: impl Future<Output = ()> + Send + 'static,
    ) {
        let task = self.set.spawn(run);
        self.names.insert(task.id(), (kind, name.into()));
    }

    /// Waits until one of them ends; waits for ever if no task is left.
    async fn ended(&mut self) {
        match self.set.join_next_with_id().await {
            Some(ended) => self.note(ended),
            None => std::future::pending().await,
        }
    }

    fn note(&mut self, ended: Result<(task::Id, ()), JoinError>) {
        let id = match &ended {
            Ok((id, ())) => *id,
            Err(error) => error.id(),
        };
        let Some((task, name)) = self.names.remove(&id) else {
            return;
        };
        let Some(payload) = ended.err().and_then(|error| error.try_into_panic().ok()) else {
            return;
        };
        let panic = Panic::new(&*payload);
        self.stats.panicked(task, &panic);
        error!(task, name, %panic, "a task has died; the others go on");
        self.died.note(task, name, &panic);
    }

    /// Ends all; gives why the first of them died, if any did.
    async fn shutdown(mut self) -> Option<RunError> {
        self.set.abort_all();
        while let Some(ended) = self.set.join_next_with_id().await {
            self.note(ended);
        }
        self.died.take()
    }
}

/// Moves arrivals into the log, on a thread of its own because the log's disk blocks.
struct Writer {
    pipeline: Pipeline,
    arrivals: mpsc::Receiver<Arrival>,
    rotations: mpsc::Receiver<Rotation>,
    /// Who asks for the position up to which frames have been judged.
    positions: mpsc::Receiver<oneshot::Sender<u64>>,
    dictionary: Arc<watch::Sender<Option<Dictionary>>>,
    commit_delay: Duration,
    clock: Clock,
    time: LogTime,
    /// When something was last told of the clock.
    told: Option<std::time::Instant>,
    cursors: Arc<Cursors>,
    useless: Arc<Useless>,
    stats: Arc<Stats>,
    /// Becomes true when no more is to be taken in; `None` from then on.
    stopped: Option<watch::Receiver<bool>>,
}

/// Stops the writer when it is dropped.
struct Stop(Arc<watch::Sender<bool>>);

impl Stop {
    /// Keeps it until the task is dropped that waits for this.
    async fn hold(self) {
        std::future::pending::<()>().await;
    }
}

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.send_replace(true);
    }
}

/// Why the writer has something to do.
enum Wake {
    Arrivals,
    Deadline,
    Ended,
    Rotation(Rotation),
}

impl Writer {
    fn run(mut self, runtime: &Handle) -> Result<(), StoreError> {
        // So that tokio's clock is the runtime's here too, which a test may have paused.
        let _context = runtime.enter();
        let mut arrived = Vec::with_capacity(BATCH_FRAMES);
        let mut touched = Vec::new();
        let mut trim = Instant::now() + TRIM;
        let mut commit: Option<Instant> = None;
        self.now_us();
        loop {
            let deadline = commit.unwrap_or(trim);
            let wake = runtime.block_on(self.receive(&mut arrived, deadline));
            let mut early = 0;
            let (now_us, start, mut pending) =
                (self.now_us(), Instant::now(), self.pipeline.pending());
            if let Some(last) = arrived.last() {
                self.pipeline.waited(start - last.arrived);
            }
            for arrival in arrived.drain(..) {
                let source = &arrival.source;
                match arrival.content {
                    Content::Frame(frame) => self.pipeline.frame(source, &frame, now_us)?,
                    Content::Connected { cursor } => {
                        self.pipeline.connected(source, cursor, now_us);
                    }
                    Content::SteppedOver { first, next } => {
                        self.pipeline.stepped_over(source, first, next);
                    }
                    Content::CursorRefused => self.pipeline.cursor_refused(source),
                }
                if !touched.contains(&arrival.source) {
                    touched.push(arrival.source);
                }
                if self.pipeline.is_heavy() {
                    early += self.pipeline.pending() - pending;
                    pending = 0;
                    self.commit(&mut touched, runtime)?;
                }
            }
            let now = Instant::now();
            let events = early + self.pipeline.pending() - pending;
            if events > 0 {
                let each = (now - start).as_secs_f64() / events as f64;
                histogram!("consumer_event_processing_duration_seconds").record(each);
            }
            let has_ended = matches!(wake, Wake::Ended);
            if let Wake::Rotation(rotation) = wake {
                self.rotate(rotation);
            }
            if self.pipeline.is_full() || has_ended || commit.is_some_and(|due| due <= now) {
                self.commit(&mut touched, runtime)?;
                commit = None;
            } else if !touched.is_empty() {
                commit.get_or_insert(now + self.commit_delay);
            }
            if has_ended {
                return Ok(());
            }
            if trim <= now {
                self.persist(runtime, |pipeline| pipeline.trim(now_us).map(drop))?;
                if touched.is_empty() {
                    // Nothing may come for long, and what came last is still to be synced.
                    self.persist(runtime, Pipeline::commit)?;
                }
                trim = now + TRIM;
            }
        }
    }

    /// The log's time.
    fn now_us(&mut self) -> u64 {
        let (wall_us, elapsed) = self.clock.read_us();
        let Some(elapsed) = elapsed else {
            return wall_us;
        };
        let (now_us, news) = self.time.now(wall_us, elapsed);
        if let Some(news) = news {
            self.tell(news);
        }
        now_us
    }

    /// Tells of the clock; of one that jumps about not each time.
    fn tell(&mut self, news: ClockNews) {
        if news != ClockNews::CameBack {
            self.stats.clock_jump();
        }
        let now = std::time::Instant::now();
        let is_told = |told: std::time::Instant| now.duration_since(told) < BETWEEN_NEWS;
        if self.told.is_some_and(is_told) {
            return;
        }
        self.told = Some(now);
        match news {
            ClockNews::LogAhead(by) => {
                warn!(
                    ?by,
                    "the log's newest event is in the future; its time goes on from there"
                );
            }
            ClockNews::Refused(jump) => {
                warn!(?jump, "the clock jumped; the log's time does not follow");
            }
            ClockNews::Believed(jump) => {
                warn!(
                    ?jump,
                    "the clock stays where it jumped to; the log's time follows"
                );
            }
            ClockNews::CameBack => info!("the clock shows the right time again"),
        }
    }

    async fn receive(&mut self, arrived: &mut Vec<Arrival>, deadline: Instant) -> Wake {
        let due = due(deadline, self.stopped.clone());
        let stopped = async {
            match &mut self.stopped {
                Some(stopped) => drop(stopped.wait_for(|&is_stopped| is_stopped).await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            count = self.arrivals.recv_many(arrived, BATCH_FRAMES) => {
                if count == 0 { Wake::Ended } else { Wake::Arrivals }
            }
            () = stopped => {
                // What is in the queue still comes, and then the end.
                self.arrivals.close();
                self.stopped = None;
                Wake::Deadline
            }
            // There is a sender for as long as there is a handle that might use it.
            Some(rotation) = self.rotations.recv() => Wake::Rotation(rotation),
            Some(answer) = self.positions.recv() => {
                // Whoever asked may have gone.
                let _ = answer.send(self.pipeline.next_seq());
                Wake::Deadline
            }
            () = due => Wake::Deadline,
        }
    }

    /// A dictionary that the log does not take costs nothing but itself: if the disk has failed,
    /// the next commit tells.
    fn rotate(&mut self, rotation: Rotation) {
        let outcome = self.pipeline.rotate_dictionary(&rotation.dictionary);
        if let Ok(position) = outcome {
            let id = rotation.dictionary.id();
            info!(
                id,
                position, "events are compressed with another dictionary"
            );
            self.dictionary.send_replace(Some(rotation.dictionary));
        }
        // Whoever asked may have gone.
        let _ = rotation.answer.send(outcome);
    }

    fn commit(&mut self, touched: &mut Vec<Arc<str>>, runtime: &Handle) -> Result<(), StoreError> {
        if touched.is_empty() {
            return Ok(());
        }
        self.persist(runtime, Pipeline::commit)?;
        let mut cursors = self.cursors.lock().unwrap_or_else(PoisonError::into_inner);
        for source in touched.drain(..) {
            let (cursor, resume) = (
                self.pipeline.cursor(&source),
                self.pipeline.resume_from(&source),
            );
            if self.pipeline.gives_up(&source)
                && let Some(useless) = self.useless.get(&*source)
            {
                useless.notify_one();
            }
            cursors.insert(source, Known { cursor, resume });
        }
        Ok(())
    }
}

impl Writer {
    /// Writes to the log, and if the disk does not let it, waits until it does: nothing is taken
    /// in meanwhile, so nothing is lost. Only a stop ends that.
    fn persist(
        &mut self,
        runtime: &Handle,
        mut write: impl FnMut(&mut Pipeline) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let (mut pause, mut is_stalled) = (FIRST_PAUSE, false);
        let mut outcome = write(&mut self.pipeline);
        while let Err(failure @ StoreError::Storage { .. }) = outcome {
            if !std::mem::replace(&mut is_stalled, true) {
                error!(%failure, "the log cannot be written; sources wait until it can");
                self.stats.stall(Some(failure.to_string()));
            }
            if !runtime.block_on(self.pause(pause)) {
                return Err(failure);
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
            outcome = self.pipeline.reopen();
            if outcome.is_ok() {
                outcome = write(&mut self.pipeline);
            }
        }
        if is_stalled {
            info!("the log can be written again");
            self.stats.stall(None);
        }
        outcome
    }

    /// Waits; `false` if that is over because of a stop.
    async fn pause(&mut self, pause: Duration) -> bool {
        let Some(stopped) = &mut self.stopped else {
            return false;
        };
        let over = due(Instant::now() + pause, Some(stopped.clone()));
        let is_over = tokio::select! {
            _ = stopped.wait_for(|&is_stopped| is_stopped) => false,
            () = over => true,
        };
        if !is_over {
            self.stopped = None;
        }
        is_over
    }
}

/// Waits until a time, or for ever once the writer has been stopped: the runtime may have gone
/// then, and with it the timer.
async fn due(time: Instant, stopped: Option<watch::Receiver<bool>>) {
    let Some(stopped) = stopped else {
        return std::future::pending().await;
    };
    let mut sleep = pin!(sleep_until(time));
    poll_fn(|context| {
        // While this is borrowed, whoever stops the writer waits, and so does a runtime's end.
        let is_stopped = stopped.borrow();
        if *is_stopped {
            return Poll::Pending;
        }
        sleep.as_mut().poll(context)
    })
    .await;
}

/// Keeps the metrics of the relays up to date, whatever their tasks wait for.
async fn publish(shared: Arc<Shared>) {
    let mut tick = interval(PUBLISH);
    loop {
        tick.tick().await;
        let stalled = shared.stats.stalled();
        for watch in &shared.upstreams {
            watch.publish(stalled.as_deref());
        }
    }
}

/// Follows a relay, and gives up a connection that is of no use. After a panic it begins anew.
async fn follow(
    endpoint: Endpoint,
    shared: Arc<Shared>,
    watch: Arc<Watch>,
    clock: Clock,
    options: Arc<Prepared>,
    died: Died,
) {
    let name = endpoint.to_string();
    let mut pause = FIRST_RESTART;
    loop {
        let begun = Instant::now();
        let relay = Relay::new(
            endpoint.clone(),
            shared.intake.clone(),
            Arc::clone(&shared.stats),
            Arc::clone(&watch),
            clock.clone(),
            Arc::clone(&options),
        );
        let resume = |source: &str| shared.known(source)?.resume;
        let useless = async {
            match shared.useless.get(&name) {
                Some(useless) => useless.notified().await,
                None => std::future::pending().await,
            }
        };
        // What it was in the middle of is dropped with it.
        let run = AssertUnwindSafe(relay.run(resume)).catch_unwind();
        let ended = tokio::select! {
            ended = run => ended,
            () = useless => {
                info!(relay = %name, "the connection is given up for another");
                continue;
            }
        };
        let Err(payload) = ended else {
            return;
        };
        let panic = Panic::new(&*payload);
        if begun.elapsed() > LONGEST_RESTART {
            pause = FIRST_RESTART;
        }
        shared.stats.panicked("relay", &panic);
        watch.ended(format!("a panic: {panic}"), 0, None);
        error!(relay = %name, %panic, "what connects to a relay has died; it starts again in {pause:?}");
        died.note("relay", name.clone(), &panic);
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_RESTART);
    }
}

/// A panic of the stream ends this task, and is seen as the end of that: see [`Tasks`].
async fn feed(mut source: Source, intake: Intake) {
    let name: Arc<str> = source.name.into();
    while let Some(frame) = source.frames.next().await {
        if intake.send(&name, frame).await.is_err() {
            return;
        }
    }
    info!(source = %name, "the source has ended");
}

const INTAKE_BYTES: usize = 8 << 20;
const COMMIT_DELAY: Duration = Duration::from_millis(2);
const PUBLISH: Duration = Duration::from_secs(5);
const BATCH_FRAMES: usize = 256;
const TRIM: Duration = Duration::from_secs(1);
/// Between attempts to write to a disk that failed.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Before what connects to a relay is started again after a panic: doubling from one to the other.
const FIRST_RESTART: Duration = Duration::from_secs(1);
const LONGEST_RESTART: Duration = Duration::from_secs(60);
/// Between what is told of a clock that jumps about.
const BETWEEN_NEWS: Duration = Duration::from_secs(10);
