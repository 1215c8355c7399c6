//! The network on a socket: the answers of a relay, a PDS and a PLC directory.
//!
//! `producer` makes the frames, `history` keeps the latest, `reader` sends them to one client, and
//! `routes` answers requests. `state` is what they share, `config` how it is set.

mod config;
mod history;
mod producer;
mod reader;
mod routes;
mod state;

use std::future::Future;
use std::io;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;

pub use self::config::{ParseRateError, Rate, RelayConfig};
pub(crate) use self::history::History;
pub(crate) use self::routes::{Params, follow};
pub(crate) use self::state::Feed;
use self::state::Relay;
use crate::network::Network;

/// Serves a network until `shutdown` is done, or the listener fails.
///
/// | route | content |
/// | --- | --- |
/// | `/xrpc/com.atproto.sync.subscribeRepos?cursor=` | the frames, over a websocket |
/// | `/xrpc/com.atproto.sync.getRepo?did=` | a whole repository as it is now |
/// | `/{did}` | the DID document as it is now, as a PLC directory does |
/// | `/_health`, `/xrpc/_health` | that it is there, and the last sequence number |
///
/// Frames start with the call, whether somebody reads them or not, unless they are to
/// [wait](RelayConfig::wait_for_reader). The latest ones are kept. A cursor asks for frames with a
/// greater sequence number; 0 asks for all that are kept. Where frames behind the cursor are no
/// longer kept, `#info` `OutdatedCursor` comes first; a cursor beyond the last frame gets an error
/// frame `FutureCursor`. A reader that falls behind the oldest kept frame gets the error frame
/// `ConsumerTooSlow`. Nothing is queued per reader.
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
