use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::any;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::connections::Connections;
use crate::counts::{Counters, FirehoseCounts};
use crate::options::FirehoseOptions;
use crate::request::subscribe;
use crate::shared::Shared;
use crate::source::FrameSource;

/// The route `com.atproto.sync.subscribeRepos` and its readers. It is a handle: clones are the same
/// firehose.
///
/// # Examples
///
/// ```
/// use axum::{Router, routing::get};
/// use jetwash::Jetstream;
/// use jetwash_firehose::{Firehose, FirehoseOptions, JetstreamFrames};
///
/// let (jetstream, _ingest) = Jetstream::builder()
///     .relay("wss://relay.example/xrpc/com.atproto.sync.subscribeRepos")
///     .keep_frames(64 << 20)
///     .build()?;
/// let source = "wss://relay.example/xrpc/com.atproto.sync.subscribeRepos";
/// let frames = JetstreamFrames::new(jetstream, source)?;
/// let firehose = Firehose::new(frames, FirehoseOptions::default());
/// let app: Router = Router::new()
///     .route("/xrpc/_health", get(|| async { "ok" }))
///     .merge(firehose.router());
/// # let _ = app;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Firehose {
    shared: Arc<Shared>,
}

impl Firehose {
    /// Makes a firehose of a source's frames.
    #[must_use]
    pub fn new(source: impl FrameSource, options: FirehoseOptions) -> Self {
        let connections =
            Connections::new(options.max_connections, options.max_connections_per_address);
        let shared = Arc::new(Shared {
            source: Box::new(source),
            connections: Arc::new(connections),
            counters: Counters::default(),
            closing: CancellationToken::new(),
            readers: TaskTracker::new(),
            options,
        });
        Self { shared }
    }

    /// Returns the route `/xrpc/com.atproto.sync.subscribeRepos`.
    ///
    /// The limit for readers by address needs their addresses: from `jetwash_serve::serve_http`, or
    /// from `axum::serve` with `into_make_service_with_connect_info::<SocketAddr>()`, or from a
    /// proxy if it is [trusted](FirehoseOptions::trust_forwarded_for).
    pub fn router(&self) -> Router {
        // Other methods are refused by the handler, as XRPC does it.
        Router::new()
            .route("/xrpc/com.atproto.sync.subscribeRepos", any(subscribe))
            .with_state(Arc::clone(&self.shared))
    }

    /// Closes every reader with code 1001, and waits until all have gone or the time is over. New
    /// readers are refused from then on.
    pub async fn close(&self, within: Duration) {
        self.shared.closing.cancel();
        self.shared.readers.close();
        // Those that are left keep their sockets until their own time is over.
        let _ = timeout(within, self.shared.readers.wait()).await;
    }

    /// Returns how many readers are connected.
    #[must_use]
    pub fn readers(&self) -> usize {
        self.shared.connections.count()
    }

    /// Returns the sums so far.
    #[must_use]
    pub fn counts(&self) -> FirehoseCounts {
        self.shared.counters.counts(self.readers())
    }
}

impl fmt::Debug for Firehose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Firehose")
            .field("readers", &self.readers())
            .finish_non_exhaustive()
    }
}
