use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::thread;

use jetwash_store::StoreError;
use thiserror::Error;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::ingest::{Writer, attend};
use crate::jetstream::Jetstream;
use crate::jetstream::parts::Parts;
use crate::panic::catch;
use crate::source::{Follower, FrameStream, Relays, describe, publish};
use crate::tasks::{Death, Tasks};

impl Jetstream {
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
    /// that no waiting can mend, or when this has been called before.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) -> Result<(), RunError> {
        let parts = self.shared.parts().take();
        let Some(Parts {
            writer,
            relays,
            sources,
            clock,
            auto,
        }) = parts
        else {
            return Err(RunError::AlreadyRun);
        };
        let stop = Arc::new(watch::Sender::new(false));
        let mut ended = self.start_writer(writer, stop.subscribe())?;
        let (stop, with_runtime) = (Stop(Arc::clone(&stop)), Stop(stop));
        // Of a runtime that goes down, tasks are dropped before its timers end.
        let mut guard = JoinSet::new();
        guard.spawn(with_runtime.hold());
        let mut tasks = Tasks::new(Arc::clone(&self.shared.stats));
        self.start_relays(&mut tasks, relays, &clock);
        self.start_streams(&mut tasks, sources);
        let (reading, mut read) = mpsc::channel::<Infallible>(1);
        if let Some((auto, is_trained)) = auto {
            let (store, dictionaries) = (self.shared.store.clone(), &self.shared.dictionaries);
            let attend = attend(
                auto,
                store,
                dictionaries.clone(),
                is_trained,
                reading.clone(),
            );
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

    /// Starts the thread that writes the log, and returns its end.
    fn start_writer(
        &self,
        mut writer: Writer,
        stopped: watch::Receiver<bool>,
    ) -> Result<End, RunError> {
        writer.stopped = Some(stopped);
        let (end, ended) = oneshot::channel();
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
        Ok(ended)
    }

    fn start_relays(&self, tasks: &mut Tasks, (relays, options): Relays, clock: &Clock) {
        let Some(options) = options else {
            return;
        };
        let shared = &self.shared;
        let follower = Follower {
            intake: shared.intake.clone(),
            cursors: Arc::clone(&shared.cursors),
            stats: Arc::clone(&shared.stats),
            clock: clock.clone(),
            options: Arc::new(options),
            died: tasks.died(),
        };
        for (endpoint, watch) in relays.into_iter().zip(&shared.upstreams) {
            let name = endpoint.to_string();
            let follow = follower.clone().follow(endpoint, Arc::clone(watch));
            tasks.spawn("relay", name, follow);
        }
        describe();
        let publish = publish(shared.upstreams.clone(), Arc::clone(&shared.stats));
        tasks.spawn("metrics", "of the relays", publish);
    }

    fn start_streams(&self, tasks: &mut Tasks, sources: Vec<FrameStream>) {
        for mut source in sources {
            if let Some(cursor) = source.cursor.take() {
                // Without a stream that waits for it there are no frames either.
                let _ = cursor.send(self.source_cursor(&source.name));
            }
            let name = source.name.clone();
            tasks.spawn("source", name, source.feed(self.shared.intake.clone()));
        }
    }
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

/// Why [`Jetstream::run`] ended other than by its shutdown.
///
/// # Examples
///
/// ```
/// use jetwash::{Jetstream, RunError};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let jetstream = Jetstream::builder().build()?;
/// jetstream.clone().run(std::future::ready(())).await?;
/// let again = jetstream.run(std::future::ready(())).await;
/// assert!(matches!(again, Err(RunError::AlreadyRun)));
/// # Ok(())
/// # }
/// ```
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
    #[error("the writer's thread could not be started: {0}")]
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
