use jetwash_event::{Cid, Tid};
use thiserror::Error;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

/// A repository of which commits are missing, so that what the log has of it is not all.
///
/// It is reported once, by the frame that shows it. From then on the repository's state is marked,
/// and the frames that follow are judged by it, until somebody has fetched the repository.
///
/// # Examples
///
/// ```no_run
/// # async fn example(jetstream: jetwash::Jetstream) {
/// let mut resyncs = jetstream.resyncs();
/// while let Some(resync) = resyncs.recv().await {
///     match resync {
///         Ok(resync) => println!("fetch {} again, as of {}", resync.did, resync.rev),
///         Err(lagged) => eprintln!("{lagged}"),
///     }
/// }
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resync {
    /// The account.
    pub did: Box<str>,
    /// The revision of the frame that shows it.
    pub rev: Tid,
    /// The root of the tree at that revision.
    pub data: Cid,
    /// Whether a `#sync` said so, and not a commit that does not follow the one before.
    pub is_sync: bool,
    /// The name of the source of the frame.
    pub source: Box<str>,
}

/// The repositories that turn out to be incomplete, from when this was made.
/// [`Jetstream::resyncs`](crate::Jetstream::resyncs) makes it.
///
/// # Examples
///
/// ```
/// use jetwash::Jetstream;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (jetstream, ingest) = Jetstream::builder().build()?;
/// let mut resyncs = jetstream.resyncs();
/// drop((jetstream, ingest));
/// assert!(resyncs.recv().await.is_none());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Resyncs(broadcast::Receiver<Resync>);

impl Resyncs {
    /// Waits for the next; `None` once the [`Ingest`](crate::Ingest) has ended.
    ///
    /// # Errors
    ///
    /// When this was not asked for so long that some were forgotten. The next ones still come.
    pub async fn recv(&mut self) -> Option<Result<Resync, ResyncsLagged>> {
        match self.0.recv().await {
            Ok(resync) => Some(Ok(resync)),
            Err(RecvError::Lagged(missed)) => Some(Err(ResyncsLagged { missed })),
            Err(RecvError::Closed) => None,
        }
    }
}

/// Reports of incomplete repositories were forgotten because they were not taken in time.
///
/// # Examples
///
/// ```
/// use jetwash::ResyncsLagged;
///
/// let lagged = ResyncsLagged { missed: 3 };
/// assert_eq!(lagged.to_string(), "3 incomplete repositories were not reported: too slow");
/// ```
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("{missed} incomplete repositories were not reported: too slow")]
pub struct ResyncsLagged {
    /// The number of reports that were forgotten.
    pub missed: u64,
}

/// The side that reports. The ingest has it, so reports end with the ingest.
#[derive(Clone, Debug)]
pub(crate) struct ResyncSender(broadcast::Sender<Resync>);

/// The side of the handle, which does not keep reports from ending.
#[derive(Clone, Debug)]
pub(crate) struct ResyncSource(broadcast::WeakSender<Resync>);

impl ResyncSender {
    /// Room is only made where there will be reports.
    pub(crate) fn new(is_used: bool) -> Self {
        Self(broadcast::Sender::new(if is_used { KEPT } else { 1 }))
    }

    pub(crate) fn send(&self, resync: Resync) {
        // Nobody has to listen.
        let _ = self.0.send(resync);
    }

    pub(crate) fn source(&self) -> ResyncSource {
        ResyncSource(self.0.downgrade())
    }
}

impl ResyncSource {
    pub(crate) fn listen(&self) -> Resyncs {
        let sender = self.0.upgrade();
        Resyncs(
            sender
                .unwrap_or_else(|| broadcast::Sender::new(1))
                .subscribe(),
        )
    }
}

/// Reports that are kept for a slow listener, of about 150 bytes each.
const KEPT: usize = 1024;
