//! The network on a socket: what a relay, a PDS and a PLC directory say.

mod history;
mod producer;
mod reader;
mod routes;

use std::future::Future;
use std::io;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};

use self::history::History;
use crate::network::Network;

/// Serves a network until `shutdown` is done, or the listener fails.
///
/// | route | what it gives |
/// | --- | --- |
/// | `/xrpc/com.atproto.sync.subscribeRepos?cursor=` | the frames, over a websocket |
/// | `/xrpc/com.atproto.sync.getRepo?did=` | a whole repository as it is now |
/// | `/{did}` | the DID document as it is now, as a PLC directory does |
/// | `/_health`, `/xrpc/_health` | that it is there, and the last sequence number |
///
/// Frames start with the call, whether somebody reads them or not, unless they are to
/// [wait](RelayConfig::wait_for_reader). The latest ones are kept. A cursor gives those with a
/// greater sequence number; 0 gives all that are kept. Where frames behind the cursor are no longer
/// kept, `#info` `OutdatedCursor` comes first; a cursor beyond the last frame gets an error frame
/// `FutureCursor`. A reader that falls out of what is kept gets the error frame `ConsumerTooSlow`.
/// Nothing is queued per reader.
///
/// # Errors
///
/// When the listener fails.
///
/// # Examples
///
/// ```
/// use jetwash_sim::{Network, NetworkConfig, RelayConfig, serve};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
/// use tokio::net::{TcpListener, TcpStream};
/// use tokio::sync::oneshot;
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let network = Network::new(NetworkConfig { accounts: 3, records: 50, ..Default::default() })?;
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let address = listener.local_addr()?;
/// let (stop, stopped) = oneshot::channel::<()>();
/// let shutdown = async { _ = stopped.await };
/// let relay = tokio::spawn(serve(listener, network, RelayConfig::default(), shutdown));
///
/// let mut client = TcpStream::connect(address).await?;
/// client.write_all(b"GET /_health HTTP/1.0\r\n\r\n").await?;
/// let mut answer = String::new();
/// client.read_to_string(&mut answer).await?;
/// assert!(answer.starts_with("HTTP/1.0 200 OK"));
///
/// drop(stop);
/// relay.await??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub async fn serve(
    listener: TcpListener,
    network: Network,
    config: RelayConfig,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (stop, stopping) = watch::channel(false);
    let relay = Arc::new(Relay::new(network, config, stopping));
    let producer = tokio::spawn(producer::produce(Arc::clone(&relay)));
    let until = async move {
        shutdown.await;
        stop.send_replace(true);
    };
    let served = axum::serve(listener, routes::router(relay))
        .with_graceful_shutdown(until)
        .await;
    producer.abort();
    served
}

/// How a network is served.
///
/// # Examples
///
/// ```
/// use jetwash_sim::{Rate, RelayConfig};
///
/// let config = RelayConfig {
///     rate: "max".parse()?,
///     frames: Some(100_000),
///     ..RelayConfig::default()
/// };
/// assert_eq!(config.rate, Rate::Max);
/// # Ok::<(), jetwash_sim::ParseRateError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayConfig {
    /// How fast frames come.
    pub rate: Rate,
    /// After so many frames no more are made, and what is kept is served on; `None` for no end.
    pub frames: Option<u64>,
    /// Whether no frame is made before a reader has connected, so that the first misses none even
    /// without a cursor. Without it, frames are made from the start.
    pub wait_for_reader: bool,
    /// How many frames are kept at most.
    pub history_frames: usize,
    /// How many bytes of frames are kept at most. The last frame is kept whatever its size.
    pub history_bytes: usize,
    /// How long a reader may take no bytes before it counts as too slow.
    pub send_timeout: Duration,
}

impl Default for RelayConfig {
    fn default() -> Self {
        Self {
            rate: Rate::default(),
            frames: None,
            wait_for_reader: false,
            history_frames: 100_000,
            history_bytes: 64 * 1024 * 1024,
            send_timeout: Duration::from_secs(10),
        }
    }
}

/// How fast frames come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// As fast as they can be made and the slowest reader takes them. With no reader connected,
    /// nothing holds them back.
    Max,
    /// So many a second, whether readers keep up or not.
    PerSecond(NonZeroU32),
}

impl Default for Rate {
    /// 343 a second: the mean of the real network in June 2026.
    fn default() -> Self {
        const REAL: NonZeroU32 = NonZeroU32::MIN.saturating_add(342);
        Self::PerSecond(REAL)
    }
}

impl FromStr for Rate {
    type Err = ParseRateError;

    fn from_str(text: &str) -> Result<Self, ParseRateError> {
        if text == "max" {
            return Ok(Self::Max);
        }
        text.parse()
            .map(Self::PerSecond)
            .map_err(|_| ParseRateError)
    }
}

/// Text that is no [`Rate`].
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("neither `max` nor a whole number of frames a second, from 1 up")]
pub struct ParseRateError;

/// What producer, readers and routes share.
struct Relay {
    config: RelayConfig,
    network: Mutex<Network>,
    history: Mutex<History>,
    /// The sequence number of the last frame, for those that wait for the next.
    head: watch::Sender<u64>,
    /// Told when a reader has come, moved on or left.
    progress: Notify,
    stopping: watch::Receiver<bool>,
}

impl Relay {
    fn new(network: Network, config: RelayConfig, stopping: watch::Receiver<bool>) -> Self {
        let history = History::new(
            network.next_seq(),
            config.history_frames,
            config.history_bytes,
        );
        Self {
            head: watch::Sender::new(history.last_seq()),
            history: Mutex::new(history),
            network: Mutex::new(network),
            progress: Notify::new(),
            stopping,
            config,
        }
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn network(&self) -> MutexGuard<'_, Network> {
        self.network.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
