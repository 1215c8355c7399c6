use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn;
use axum::routing::{any, get};
use jetwash::Jetstream;
use tokio::net::TcpListener;

use crate::form::dictionaries::Dictionaries;
use crate::http::dictionaries::get_zstd_dictionary;
use crate::http::headers::public;
use crate::http::serving::serve_within;
use crate::options::ServeOptions;
use crate::subscriber::subscribers::{
    Subscribers, events, events_of_v2, mirror, subscribe, subscribe_events,
};

/// Serves a [`Jetstream`] to subscribers.
///
/// It is a handle, cheap to clone. Call [`serve`](Self::serve), or mount its
/// [`router`](Self::router) in an axum application.
///
/// # Examples
///
/// ```
/// use jetwash::Jetstream;
/// use jetwash_serve::{ServeOptions, Server};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (jetstream, ingest) = Jetstream::builder().build()?;
/// tokio::spawn(ingest.run(std::future::pending()));
/// let server = Server::new(jetstream, ServeOptions::default());
///
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// let shutdown = async {}; // Most programs wait for a signal here.
/// server.clone().serve(listener, shutdown).await?;
/// assert_eq!(server.subscribers(), 0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Server {
    options: Arc<ServeOptions>,
    dictionaries: Dictionaries,
    subscribers: Arc<Subscribers>,
    /// Those of a log of labels.
    labels: Option<Arc<Subscribers>>,
}

impl Server {
    /// Makes a server of the events that `jetstream` has and receives. It opens no socket.
    #[must_use]
    pub fn new(jetstream: Jetstream, options: ServeOptions) -> Self {
        let dictionaries = Dictionaries::new(
            jetstream.clone(),
            options.binary_dictionary.clone(),
            options.v2_dictionary.clone(),
        );
        let options = Arc::new(options);
        let subscribers = Subscribers::new(jetstream, Arc::clone(&options), dictionaries.clone());
        Self {
            options,
            dictionaries,
            subscribers: Arc::new(subscribers),
            labels: None,
        }
    }

    /// Also serves a log of labels, at `/labels`: a server of a Jetstream of
    /// [labelers](jetwash::JetstreamBuilder::labeler). Only its websocket of version 1 is there, with the
    /// parameters of `/subscribe`: `wantedDids` are labelers, and cursors are those of this log. Its options
    /// are its own, so that its subscribers and their memory are limited apart.
    ///
    /// # Examples
    ///
    /// ```
    /// use jetwash::Jetstream;
    /// use jetwash_serve::{ServeOptions, Server};
    ///
    /// let labeler = "did:web:labeler.example";
    /// let (labels, _ingest) = Jetstream::builder().labeler("labeler.example", labeler).build()?;
    /// let (jetstream, _ingest) = Jetstream::builder().relay("relay.example").build()?;
    /// let labels = Server::new(labels, ServeOptions::default());
    /// let server = Server::new(jetstream, ServeOptions::default()).labels(&labels);
    /// # drop(server);
    /// # Ok::<(), jetwash::BuildError>(())
    /// ```
    #[must_use]
    pub fn labels(mut self, labels: &Self) -> Self {
        self.labels = Some(Arc::clone(&labels.subscribers));
        self
    }

    /// Returns the routes: `/subscribe` of version 1,
    /// `/xrpc/network.bsky.jetstream.subscribeEvents` of version 2, the same events over plain HTTP at
    /// `/events` and `/v2/events`, the dictionaries at
    /// `/xrpc/network.bsky.jetstream.getZstdDictionary`, and `/mirror`, for mirrors of the log if they
    /// are [served](ServeOptions::serve_mirrors). With a log of [labels](Self::labels), `/labels`.
    ///
    /// Serve the application with [`serve_http`](crate::serve_http), which limits connections, or
    /// with `axum::serve`, which does not. Limits by address need the address: with `axum::serve`,
    /// use `into_make_service_with_connect_info::<SocketAddr>()` or a proxy that is
    /// [trusted](ServeOptions::trust_forwarded_for) to name it.
    ///
    /// A subscriber that takes nothing for [`ServeOptions::write_timeout`] has its connection reset
    /// if it came through a plain [`TcpListener`], as in these two. Any other connection, such as
    /// TLS, is closed, and the kernel keeps the bytes that its socket still holds.
    ///
    /// The application has to call [`close`](Self::close) when it ends, because websockets outlive
    /// their requests.
    pub fn router(&self) -> Router {
        let of_labels = |subscribers| {
            let labels = any(subscribe).with_state(Arc::clone(subscribers));
            Router::new().route("/labels", labels)
        };
        let router = self.labels.as_ref().map(of_labels).unwrap_or_default();
        let subscribe = any(subscribe).with_state(Arc::clone(&self.subscribers));
        let dictionaries = get(get_zstd_dictionary).with_state(self.dictionaries.clone());
        let mirror = any(mirror).with_state(Arc::clone(&self.subscribers));
        let second = any(subscribe_events).with_state(Arc::clone(&self.subscribers));
        let events = any(events).with_state(Arc::clone(&self.subscribers));
        let events_of_v2 = any(events_of_v2).with_state(Arc::clone(&self.subscribers));
        router
            .route("/subscribe", subscribe)
            .route("/mirror", mirror)
            .route("/xrpc/network.bsky.jetstream.subscribeEvents", second)
            .route("/events", events)
            .route("/v2/events", events_of_v2)
            .route(
                "/xrpc/network.bsky.jetstream.getZstdDictionary",
                dictionaries,
            )
            .route_layer(from_fn(public))
    }

    /// Serves the routes on `listener` until `shutdown` completes, and then closes every
    /// subscriber. A welcome is at `/`.
    ///
    /// Connections are limited by [`ServeOptions::http`], as [`serve_http`](crate::serve_http)
    /// does.
    ///
    /// # Errors
    ///
    /// When the listener fails.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        let router = self.router().route("/", get(welcome));
        let limits = self.options.connection_limits();
        let memory = Arc::clone(self.subscribers.memory());
        let shutdown = async move {
            shutdown.await;
            self.close(GOODBYE).await;
        };
        serve_within(listener, router, limits, memory, shutdown).await
    }

    /// Closes every subscriber with code 1001, and waits until all have gone or the time is over.
    /// New subscribers are refused from then on.
    pub async fn close(&self, within: Duration) {
        let labels = async {
            if let Some(labels) = &self.labels {
                labels.close(within).await;
            }
        };
        tokio::join!(self.subscribers.close(within), labels);
    }

    /// Those that are connected, for a page that shows them.
    pub(crate) const fn connected(&self) -> &Arc<Subscribers> {
        &self.subscribers
    }

    /// Returns how many subscribers are connected, those of labels included.
    #[must_use]
    pub fn subscribers(&self) -> usize {
        let labels = self.labels.as_ref().map_or(0, |labels| labels.count());
        self.subscribers.count() + labels
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("subscribers", &self.subscribers())
            .finish_non_exhaustive()
    }
}

async fn welcome() -> &'static str {
    "Welcome to Jetstream, served by jetwash. Subscribe to events at /subscribe or, in version \
     2, at /xrpc/network.bsky.jetstream.subscribeEvents. Without a websocket they are at /events \
     and /v2/events\n"
}

/// How long subscribers may take to leave when the server stops.
const GOODBYE: Duration = Duration::from_secs(5);
