use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::thread;

use jetwash_store::{Store, StoreError};
use thiserror::Error;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::executor::{catch_async, drive};
use crate::ingest::{AutoDictionary, CheckStage, Dictionaries, Keys, Writer, attend};
use crate::jetstream::LabelIndex;
use crate::panic::{Panic, catch};
use crate::source::{
    BoxedSource, IndexFeed, MirrorFeed, MirrorSource, PreparedLabelers, SourceHandle, SourceParts,
    Watch, describe, publish, supervise,
};
use crate::tasks::{Death, Tasks};
use crate::verify::Verify;

/// The work of a [`Jetstream`](crate::Jetstream): it connects to the sources and feeds the log.
///
/// [`build`](crate::JetstreamBuilder::build) returns it beside the handle, and it runs once. Before
/// the run no socket is opened and nothing is spawned, but subscriptions, consumers and pushers can
/// be made. Pushed frames wait in a bounded queue, and when that is full the pusher waits. A
/// [rotation](crate::Jetstream::rotate_dictionary) and
/// [`holds_from`](crate::Jetstream::holds_from) wait for the run.
///
/// Dropping it without running it ends the log, as the end of a run does: each subscription gives
/// what is left, and then `None`, and whatever waits for the run fails with
/// [`Stopped`](crate::Stopped). A program that only reads a log may drop it.
///
/// # Examples
///
/// ```
/// use futures_util::StreamExt;
/// use jetwash::{Filter, Jetstream, NetworkConfig, StartFrom};
/// use tokio::sync::oneshot;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let network = NetworkConfig { accounts: 10, records: 100, ..NetworkConfig::default() };
/// let (jetstream, ingest) = Jetstream::builder().simulator(network, None).build()?;
/// let mut events = jetstream.subscribe(StartFrom::Oldest, Filter::new()).await?;
///
/// let (stop, stopped) = oneshot::channel::<()>();
/// let running = tokio::spawn(ingest.run(async { drop(stopped.await) }));
/// assert_eq!(events.next().await.unwrap()?.cursor().get(), 1);
///
/// drop(stop);
/// running.await??;
/// // Everything that was taken in is in the log, and the subscription comes to its end.
/// while let Some(event) = events.next().await {
///     event?;
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing flows until the ingest runs, and dropping it ends the log"]
pub struct Ingest {
    pub(super) writer: Writer,
    pub(super) verify: (Verify, Arc<Keys>),
    pub(super) stop: watch::Sender<bool>,
    pub(super) feeds: Feeds,
    /// With whether the dictionary in use is one that an earlier run trained.
    pub(super) auto: Option<(AutoDictionary, bool)>,
    pub(super) store: Store,
    pub(super) dictionaries: Dictionaries,
}

impl Ingest {
    /// Connects to the sources and feeds the log until `shutdown` completes.
    ///
    /// Relays are connected to again whenever a connection ends. The end of a frame stream, or of
    /// all of them, does not end the run: frames may still be pushed, and events read.
    ///
    /// Frames that have arrived by the shutdown are committed before this returns. The log then
    /// ends for its readers: each subscription gives what is left, and then `None`. Once they and
    /// all clones of the Jetstream are dropped, the log can be opened again.
    ///
    /// Dropping the future comes to the same, except that nobody can wait for the end; and so does
    /// dropping the runtime that it was called on.
    ///
    /// While the disk is full, or cannot be written for another reason, sources wait and readers go
    /// on with what is in the log; [`Snapshot::stalled`](crate::Snapshot::stalled) says why. The
    /// log is tried again every few seconds, and continues where it was: nothing is missing then that
    /// the sources still have.
    ///
    /// # Errors
    ///
    /// When it is to shut down and the log cannot be written just then, when the log fails in a way
    /// that no waiting can mend, or when a task of the run panicked.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) -> Result<(), RunError> {
        let Self {
            mut writer,
            verify: (verify, keys),
            stop,
            feeds,
            auto,
            store,
            dictionaries,
        } = self;
        let stop = Arc::new(stop);
        if verify.policy.is_on() {
            let (stats, runtime) = (&writer.stats, Handle::current());
            let stage = CheckStage::start(&verify, keys, stats, runtime, store.may_block());
            writer.stage = Some(stage.map_err(RunError::Thread)?);
        }
        let mut ended = start(writer, store.may_block())?;
        feeds.parts.intake.begin();
        let (stop, with_runtime) = (Stop(Arc::clone(&stop)), Stop(stop));
        // Of a runtime that goes down, tasks are dropped before its timers end.
        let mut guard = JoinSet::new();
        guard.spawn(with_runtime.hold());
        let mut tasks = Tasks::new(Arc::clone(&feeds.parts.stats));
        feeds.start(&mut tasks);
        let (reading, mut read) = mpsc::channel::<Infallible>(1);
        if let Some((auto, is_trained)) = auto {
            let attend = attend(auto, store, dictionaries, is_trained, reading.clone());
            tasks.spawn("trainer", "auto dictionary", attend);
        }
        drop(reading);
        let early = until_end(shutdown, &mut ended, &mut tasks).await;
        // First what feeds the writer, so that the queue it works off to the end is finite.
        let died = tasks.shutdown().await;
        drop(stop);
        let outcome = match early {
            Some(outcome) => outcome,
            None => ended.await,
        };
        // So that the log can be opened again as soon as this has returned.
        let _ = read.recv().await;
        outcome.map_err(|_| RunError::Panicked("it was not asked to end".to_owned()))??;
        died.map_or(Ok(()), |death| Err(death.into()))
    }
}

impl fmt::Debug for Ingest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sources: Vec<_> = self.feeds.sources.iter().map(BoxedSource::name).collect();
        f.debug_struct("Ingest")
            .field("sources", &sources)
            .finish_non_exhaustive()
    }
}

/// The sources of a run, and what they need to feed the writer.
pub(super) struct Feeds {
    /// The relays, the Jetstreams and those of the caller.
    pub(super) sources: Vec<BoxedSource>,
    /// How the connections are of those that have one, in the same order.
    pub(super) upstreams: Vec<Arc<Watch>>,
    pub(super) labelers: Vec<Labeler>,
    /// The log that this one mirrors. Its watch is the last.
    pub(super) mirror: Option<(MirrorSource, Store)>,
    pub(super) parts: SourceParts,
}

impl Feeds {
    fn start(self, tasks: &mut Tasks) {
        let mut upstreams = self.upstreams.iter();
        for source in self.sources {
            let (kind, name) = (source.kind(), Arc::clone(source.name()));
            let listed = source.is_upstream().then(|| upstreams.next()).flatten();
            let watch = listed.map_or_else(|| Arc::new(Watch::new(Arc::clone(&name))), Arc::clone);
            let handle = SourceHandle::new(Arc::clone(&name), self.parts.clone(), watch);
            tasks.spawn(kind, &*name, supervise(source, handle, tasks.died()));
        }
        for Labeler { feed, watch } in self.labelers {
            let name = Arc::clone(feed.name());
            let handle = SourceHandle::new(Arc::clone(&name), self.parts.clone(), watch);
            tasks.spawn("labeler", &*name, supervise(feed, handle, tasks.died()));
        }
        if self.upstreams.is_empty() {
            return;
        }
        if let (Some((source, store)), Some(watch)) = (self.mirror, self.upstreams.last()) {
            let (name, watch) = (source.name().to_string(), Arc::clone(watch));
            let feed = MirrorFeed::new(source, store, self.parts.clone(), watch, tasks.died());
            tasks.spawn("mirror", name, feed.follow());
        }
        describe();
        let publish = publish(self.upstreams, self.parts.stats);
        tasks.spawn("metrics", "of the relays", publish);
    }
}

/// A labeler to follow, and how the connection to it is.
pub(super) struct Labeler {
    feed: BoxedSource,
    watch: Arc<Watch>,
}

impl Labeler {
    /// Makes those that fill an index alone.
    pub(super) fn all(prepared: PreparedLabelers) -> (Vec<Self>, LabelIndex) {
        let labelers: Vec<Self> = prepared.feeds.into_iter().map(Self::new).collect();
        let watches = labelers.iter().map(|labeler| Arc::clone(&labeler.watch));
        let index = LabelIndex {
            index: prepared.labels,
            labelers: watches.collect(),
        };
        (labelers, index)
    }

    fn new(feed: IndexFeed) -> Self {
        let feed = BoxedSource::new("labeler", feed);
        let watch = Arc::new(Watch::new(Arc::clone(feed.name())));
        Self { feed, watch }
    }
}

/// Starts the thread that writes the log, and returns its end. A log that never blocks, as only a
/// simulation has one, is written by a task instead.
fn start(writer: Writer, may_block: bool) -> Result<End, RunError> {
    let (end, ended) = oneshot::channel();
    let stats = Arc::clone(&writer.stats);
    let tell = move |outcome: Result<Result<(), StoreError>, Panic>| {
        let outcome = outcome.map_or_else(
            |panic| {
                stats.panicked("writer", &panic);
                Err(RunError::Panicked(panic.to_string()))
            },
            |outcome| outcome.map_err(RunError::Store),
        );
        // Nobody listens if `run` was dropped, which is a stop like any other.
        let _ = end.send(outcome);
    };
    if !may_block {
        tokio::spawn(async move { tell(catch_async(writer.run()).await) });
        return Ok(ended);
    }
    let runtime = Handle::current();
    thread::Builder::new()
        .name("jetwash-writer".to_owned())
        .spawn(move || tell(catch(|| drive(writer.run(), &runtime))))
        .map_err(RunError::Thread)?;
    Ok(ended)
}

/// How the writer's thread has ended.
type End = oneshot::Receiver<Result<(), RunError>>;

/// Waits for the shutdown, or returns how the writer has ended before it. The ends of other tasks
/// are looked at meanwhile, and end nothing.
async fn until_end(
    shutdown: impl Future<Output = ()>,
    ended: &mut End,
    tasks: &mut Tasks,
) -> Option<Result<Result<(), RunError>, oneshot::error::RecvError>> {
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => return None,
            outcome = &mut *ended => return Some(outcome),
            () = tasks.ended() => {}
        }
    }
}

/// Why [`Ingest::run`] ended other than by its shutdown.
///
/// # Examples
///
/// ```
/// use jetwash::{Jetstream, RunError};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (_jetstream, ingest) = Jetstream::builder().build()?;
/// match ingest.run(std::future::ready(())).await {
///     Err(RunError::TaskPanicked { task, name, .. }) => eprintln!("see the {task} {name}"),
///     other => other?,
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RunError {
    /// The thread that writes the log died, with this message.
    #[error("the writer's thread panicked: {0}")]
    Panicked(String),
    /// The log cannot be written.
    #[error(transparent)]
    Store(StoreError),
    /// A source panicked, or another task that belongs to the run. The others went on until the
    /// shutdown, after which this is told; what connects to a relay was started again. The first
    /// such panic counts; all are in [`Snapshot::panics`](crate::Snapshot::panics).
    #[error("the {task} {name} panicked: {message}")]
    TaskPanicked {
        /// The kind of task, as in [`Snapshot::panics`](crate::Snapshot::panics).
        task: &'static str,
        /// The name of the source.
        name: String,
        /// The message of the panic.
        message: String,
    },
    /// The operating system gave no thread.
    #[error("a thread of the ingest could not be started: {0}")]
    Thread(std::io::Error),
}

impl From<Death> for RunError {
    fn from(
        Death {
            task,
            name,
            message,
        }: Death,
    ) -> Self {
        Self::TaskPanicked {
            task,
            name,
            message,
        }
    }
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
