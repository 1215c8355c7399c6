use std::future::Future;
use std::path::PathBuf;
use std::thread;

use jetwash::Jetstream;
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};

use crate::folder::Folder;
use crate::run_error::SpoolRunError;
use crate::settings::Settings;
use crate::status::{SpoolState, SpoolStatus};
use crate::worker::Worker;

/// Writes the events of a [`Jetstream`] to files.
///
/// The crate page describes the files. The spool reads the log at its own pace: nothing else waits
/// for the disk, and memory does not grow while it is slow.
///
/// # Examples
///
/// ```
/// use jetwash::{Filter, Jetstream, Kind, NetworkConfig};
/// use jetwash_spool::{FileSpool, SpoolReader};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let parent = tempfile::tempdir()?;
/// # let folder = parent.path().join("posts");
/// let network = NetworkConfig { accounts: 10, records: 100, ..NetworkConfig::default() };
/// let (jetstream, ingest) = Jetstream::builder().simulator(network, None).build()?;
/// let spool = FileSpool::builder(&folder)
///     .filter(Filter::new().collections(["app.bsky.feed.post"])?.kinds([Kind::Commit]))
///     .roll_bytes(1000)
///     .build()?;
///
/// let mut status = spool.status();
/// let enough = async move { drop(status.wait_for(|status| status.files >= 3).await) };
/// let running = tokio::spawn(ingest.run(std::future::pending()));
/// spool.run(&jetstream, enough).await?;
/// running.abort();
///
/// let mut reader = SpoolReader::open(&folder)?;
/// let first = reader.files_after(0)?.remove(0);
/// for line in first.lines()? {
///     assert!(line?.contains(r#""collection":"app.bsky.feed.post""#));
/// }
/// reader.remove_through(first.number())?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct FileSpool {
    path: PathBuf,
    folder: Folder,
    settings: Settings,
    status: watch::Sender<SpoolStatus>,
}

impl FileSpool {
    /// How the spool is doing, to look at or to wait for.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<SpoolStatus> {
        self.status.subscribe()
    }

    /// Follows the log until `shutdown` completes or the log ends, on its own thread. The
    /// last file is completed before this returns.
    ///
    /// The log ends when [`Ingest::run`](jetwash::Ingest::run) has returned, so where both are to
    /// end together, pass [`std::future::pending`] as the shutdown. Dropping the future stops the
    /// spool too, except that nobody can wait for the end.
    ///
    /// Failures do not end it: it reports them in its [status](Self::status), to `tracing`
    /// and to `metrics`, stands still at its cursor and tries again, less and less often.
    ///
    /// # Errors
    ///
    /// When the thread cannot be started, and when the spool ends while something keeps it from
    /// completing its last file: the next run writes the rest.
    pub async fn run(
        self,
        jetstream: &Jetstream,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), SpoolRunError> {
        let (stop, stopped) = watch::channel(());
        let (end, mut ended) = oneshot::channel();
        let worker = Worker {
            path: self.path,
            id: self.folder.id().to_owned(),
            folder: Some(self.folder),
            settings: self.settings,
            status: self.status,
            jetstream: jetstream.clone(),
            runtime: Handle::current(),
            stopped,
        };
        thread::Builder::new()
            .name("jetwash-spool".to_owned())
            // Nobody listens if this was dropped, which is a stop like any other.
            .spawn(move || drop(end.send(worker.run())))
            .map_err(SpoolRunError::Thread)?;
        tokio::select! {
            () = shutdown => {}
            outcome = &mut ended => return outcome.unwrap_or(Err(SpoolRunError::Panicked)),
        }
        drop(stop);
        ended.await.unwrap_or(Err(SpoolRunError::Panicked))
    }

    pub(crate) fn new(path: PathBuf, folder: Folder, settings: Settings) -> Self {
        let status = SpoolStatus::new(folder.manifest(), SpoolState::Idle);
        Self {
            path,
            folder,
            settings,
            status: watch::Sender::new(status),
        }
    }
}
