use std::error::Error;
use std::io;
use std::panic::resume_unwind;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_core::future::BoxFuture;
use jetwash_event::Did;
use jetwash_identity::{DocumentAnswer, DocumentSource, IdentityOptions};
use jetwash_sim::{ConfigError, Network, NetworkConfig, SimDirectory};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tracing::error;

use crate::builder::JetstreamBuilder;
use crate::source::{BoxedSource, Source, SourceHandle};

impl JetstreamBuilder {
    /// Takes frames from a network in the process, which needs no connection and no set-up.
    ///
    /// `rate` is in frames a second; `None` makes them as fast as they are wanted. The name of the
    /// source is `simulator`.
    ///
    /// A network of the default size is there within a second, also in a debug build; that of
    /// [`NetworkConfig::full_size`], whose frames are as large as real ones, takes half a minute
    /// there. Memory is bounded: see [`NetworkConfig::kept_records`].
    ///
    /// With a log that has events of it, the network continues: sequence numbers follow on the last
    /// one in the log, and times and revisions are newer, as
    /// [`NetworkConfig::continuing_after`] says.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_util::StreamExt;
    /// use jetwash::{Filter, Jetstream, NetworkConfig, StartFrom};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let network = NetworkConfig { accounts: 10, records: 100, ..NetworkConfig::default() };
    /// let (jetstream, ingest) = Jetstream::builder().simulator(network, None).build()?;
    /// let mut events = jetstream.subscribe(StartFrom::Oldest, Filter::new()).await?;
    /// tokio::spawn(ingest.run(std::future::pending()));
    /// let event = events.next().await.unwrap()?;
    /// assert!(event.did().starts_with("did:plc:"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn simulator(mut self, network: NetworkConfig, rate: Option<u32>) -> Self {
        let simulator = Simulator { network, rate };
        self.sources.push(BoxedSource::new("source", simulator));
        self
    }
}

/// The name of the source that [`JetstreamBuilder::simulator`] adds.
pub const SIMULATOR: &str = "simulator";

/// Returns the options of an identity service that has the DID documents of a simulated network, and
/// sends nothing: to [verify](crate::Verify) its frames with.
///
/// # Errors
///
/// When a setting of the network is out of its range.
///
/// # Examples
///
/// ```
/// use jetwash::{Filter, Jetstream, NetworkConfig, StartFrom, Verdict, Verify};
/// # use futures_util::StreamExt;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let network = NetworkConfig { accounts: 10, records: 100, ..NetworkConfig::default() };
/// let identities = jetwash::simulator_identities(&network)?.start()?;
/// let (jetstream, ingest) = Jetstream::builder()
///     .simulator(network, None)
///     .verify(Verify::strict(identities))
///     .build()?;
/// let posts = Filter::new().collections(["app.bsky.feed.post"])?;
/// let mut posts = jetstream.subscribe(StartFrom::Oldest, posts.kinds([jetwash::Kind::Commit])).await?;
/// tokio::spawn(ingest.run(std::future::pending()));
/// assert_eq!(posts.next().await.unwrap()?.verdict(), Some(Verdict::Verified));
/// # Ok(())
/// # }
/// ```
pub fn simulator_identities(network: &NetworkConfig) -> Result<IdentityOptions, ConfigError> {
    let source = Simulated(SimDirectory::new(network)?);
    Ok(IdentityOptions::new()
        .document_source(source)
        .without_directories())
}

struct Simulated(SimDirectory);

impl DocumentSource for Simulated {
    /// On a thread that may block: the first answer about a network of millions takes seconds.
    fn document<'a>(&'a self, did: &'a Did) -> BoxFuture<'a, io::Result<DocumentAnswer>> {
        let (directory, did) = (self.0.clone(), did.clone());
        Box::pin(async move {
            let document = spawn_blocking(move || directory.document(did.as_ref())).await?;
            let document = document.map(String::into_bytes);
            Ok(document.map_or(DocumentAnswer::NotFound, DocumentAnswer::Document))
        })
    }
}

/// A network in the process as a source. Its frames are made on a thread of their own.
struct Simulator {
    network: NetworkConfig,
    rate: Option<u32>,
}

impl Source for Simulator {
    fn name(&self) -> &str {
        SIMULATOR
    }

    async fn run(&mut self, handle: SourceHandle) -> Result<(), Box<dyn Error + Send + Sync>> {
        let network = match handle.cursor() {
            Some(seq) => self.network.clone().continuing_after(seq),
            None => self.network.clone(),
        };
        let Some((mut frames, maker)) = start(network, self.rate) else {
            return Ok(());
        };
        while let Some(frame) = frames.recv().await {
            handle.frame(frame).await?;
        }
        // It has nothing left to do but to end. If it panicked, so does this source.
        maker.join().unwrap_or_else(|panic| resume_unwind(panic));
        Ok(())
    }
}

fn start(
    network: NetworkConfig,
    rate: Option<u32>,
) -> Option<(mpsc::Receiver<Bytes>, JoinHandle<()>)> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    let spawned = thread::Builder::new()
        .name("jetwash-simulator".to_owned())
        .spawn(move || {
            if let Err(error) = make(network, rate, &sender) {
                error!(%error, "the simulator cannot start");
            }
        });
    match spawned {
        Ok(maker) => Some((receiver, maker)),
        Err(error) => {
            error!(%error, "the simulator's thread could not be started");
            None
        }
    }
}

/// Makes frames until the source is dropped.
fn make(
    network: NetworkConfig,
    rate: Option<u32>,
    sender: &mpsc::Sender<Bytes>,
) -> Result<(), ConfigError> {
    let network = Network::new(network)?;
    let step = rate.map(|rate| Duration::from_secs(1) / rate.max(1));
    let mut due = Instant::now();
    for frame in network {
        if let Some(step) = step {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            // A machine that was asleep, or is too slow, does not catch up in a burst.
            due = due.max(Instant::now() - CATCH_UP) + step;
        }
        if sender.blocking_send(frame.bytes.into()).is_err() {
            break;
        }
    }
    Ok(())
}

const AHEAD: usize = 64;
const CATCH_UP: Duration = Duration::from_millis(200);
