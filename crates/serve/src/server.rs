use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{ALLOW, CONTENT_TYPE, SEC_WEBSOCKET_VERSION};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::from_fn;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto::upgrade::{Parts, downcast};
use jetwash::dict::CompressError;
use jetwash::{Dictionary, Jetstream};
use tokio::io::AsyncRead;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::field::display;
use tracing::{debug, info, warn};

use crate::form::encoder::Encoding;
use crate::form::recoder::Recoder;
use crate::http::dictionaries::get_zstd_dictionary;
use crate::http::guarded::Guarded;
use crate::http::headers::{METHODS, public};
use crate::http::open::Open;
use crate::http::serving::serve_within;
use crate::memory::{Account, Budget, Purpose};
use crate::metrics::{Metrics, refused};
use crate::options::ServeOptions;
use crate::subscriber::addresses::{Addresses, Share, client_ip};
use crate::subscriber::connection::Connection;
use crate::subscriber::inbound::{Common, Inbound};
use crate::subscriber::outbound::Outbound;
use crate::subscriber::query::{Compression, Query, Shape};
use crate::subscriber::socket::Socket;
use crate::subscriber::updates::{Allowance, Updates};
use crate::supervise::watched;
use crate::tail::live::Live;
use crate::websocket::accept;

/// A [`Jetstream`] as others may subscribe to it.
///
/// It is a handle, cheap to clone. Mount its [`router`](Self::router) in an axum application, or
/// let [`serve`](Self::serve) do the rest.
///
/// # Examples
///
/// ```no_run
/// use jetwash::Jetstream;
/// use jetwash_serve::{ServeOptions, Server};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let jetstream = Jetstream::builder().relay("relay1.us-east.bsky.network").build()?;
/// let server = Server::new(jetstream.clone(), ServeOptions::default());
/// tokio::spawn(jetstream.run(std::future::pending()));
///
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:6008").await?;
/// server.serve(listener, async { tokio::signal::ctrl_c().await.unwrap_or_default() }).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
}

struct Shared {
    jetstream: Jetstream,
    options: Arc<ServeOptions>,
    addresses: Arc<Addresses>,
    metrics: Arc<Metrics>,
    live: Arc<Live>,
    /// The same for those who want events in batches.
    batches: Arc<Live>,
    recoder: Arc<Recoder>,
    /// One permit for each subscriber that may have a stream of its own.
    streams: Arc<Semaphore>,
    memory: Arc<Budget>,
    updates: Arc<Updates>,
    closing: CancellationToken,
    connections: TaskTracker,
}

impl Server {
    /// A server of the events that `jetstream` has and gets. It opens nothing.
    #[must_use]
    pub fn new(jetstream: Jetstream, options: ServeOptions) -> Self {
        let metrics = Arc::new(Metrics::new());
        let batches = Live::gathering(options.batch_delay, Arc::clone(&metrics));
        let options = Arc::new(options);
        let shared = Shared {
            jetstream,
            memory: Arc::new(Budget::measured(options.memory_budget)),
            updates: Arc::new(Updates::new(Arc::clone(&options))),
            live: Arc::new(Live::new(options.max_delay, Arc::clone(&metrics))),
            batches: Arc::new(batches),
            recoder: Arc::new(Recoder::new(RECODED_BYTES)),
            streams: Arc::new(Semaphore::new(options.max_streams)),
            options,
            addresses: Arc::default(),
            metrics,
            closing: CancellationToken::new(),
            connections: TaskTracker::new(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// The routes: `/subscribe`, and the dictionaries at
    /// `/xrpc/network.bsky.jetstream.getZstdDictionary`.
    ///
    /// [`serve_http`](crate::serve_http) serves the application within limits for connections, which `axum::serve`
    /// does not have. Limits by address need to know the address: with `axum::serve`, the
    /// application has to be served with `into_make_service_with_connect_info::<SocketAddr>()`, or
    /// stand behind a proxy that is trusted to name it.
    ///
    /// A subscriber that takes nothing for [`ServeOptions::write_timeout`] has its connection reset
    /// if it came through a plain [`TcpListener`], as in these two. What lies below a connection
    /// of another sort, TLS for one, is not known here: it is closed, and what its socket still
    /// holds is left to the kernel.
    ///
    /// The application that mounts it has to call [`close`](Self::close) when it ends, because
    /// websockets outlive the requests that they came from.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/subscribe", any(subscribe))
            .route(
                "/xrpc/network.bsky.jetstream.getZstdDictionary",
                get(get_zstd_dictionary),
            )
            .route_layer(from_fn(public))
            .with_state(self.clone())
    }

    /// Serves the routes on `listener` until `shutdown` completes, and then closes every
    /// subscriber. There is a word of welcome at `/` as well.
    ///
    /// Connections are limited as [`serve_http`](crate::serve_http) does it, by [`ServeOptions::http`].
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
        let limits = self.shared.options.connection_limits();
        let server = self.clone();
        let shutdown = async move {
            shutdown.await;
            server.close(GOODBYE).await;
        };
        let memory = Arc::clone(&self.shared.memory);
        serve_within(listener, router, limits, memory, shutdown).await
    }

    /// Closes every subscriber with code 1001, and waits until all have gone or the time is over.
    /// New ones are refused from then on.
    pub async fn close(&self, within: Duration) {
        self.shared.closing.cancel();
        self.shared.connections.close();
        if timeout(within, self.shared.connections.wait())
            .await
            .is_err()
        {
            warn!(
                left = self.shared.connections.len(),
                "subscribers did not go in time"
            );
        }
    }

    /// How many subscribers are connected.
    #[must_use]
    pub fn subscribers(&self) -> usize {
        self.shared.connections.len()
    }

    /// The dictionary in use for events of a shape.
    pub(crate) fn dictionary(&self, shape: Shape) -> Option<Dictionary> {
        match shape {
            Shape::Binary => self.shared.options.binary_dictionary.clone(),
            Shape::Current | Shape::First => self.shared.jetstream.dictionary(),
        }
    }

    /// The dictionary with this number, if it is in use or events in the log are compressed with
    /// it.
    pub(crate) fn dictionary_with(&self, id: u32) -> Option<Dictionary> {
        let in_use = [Shape::Current, Shape::Binary].map(|shape| self.dictionary(shape));
        let mut in_use = in_use.into_iter().flatten();
        in_use
            .find(|dictionary| dictionary.id() == id)
            .or_else(|| self.shared.jetstream.store().dictionary(id))
    }

    fn accept(&self, mut request: Request) -> Result<Response, Refusal> {
        if request.method() != Method::GET {
            return Err(Refusal::Method);
        }
        if self.shared.closing.is_cancelled() {
            return Err(Refusal::Text(
                StatusCode::SERVICE_UNAVAILABLE,
                "server shutting down".to_owned(),
            ));
        }
        let query = request.uri().query().unwrap_or_default();
        let options = &self.shared.options;
        let query = Query::parse(query, request.headers(), options, self.now())
            .map_err(|error| Refusal::Text(StatusCode::BAD_REQUEST, error.to_string()))?;
        let headers = accept(request.headers()).map_err(|_| Refusal::NoHandshake)?;
        let upgrade = request
            .extensions_mut()
            .remove::<OnUpgrade>()
            .ok_or(Refusal::NoHandshake)?;
        let share = self.enter(&request)?;
        // One of its own, for which it does not have to wait while others look at theirs.
        let account = self
            .shared
            .memory
            .account(self.shared.closing.child_token());
        let noted = account.set(Purpose::Filter, query.settings.bytes);
        noted.map_err(|error| {
            refused("memory");
            Refusal::Text(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
        })?;
        let address = self.address(&request);
        let address = address.filter(|_| !self.shared.options.hide_addresses);
        let encoding = self.encoding(&query, share.as_deref())?;
        let admitted = Admitted {
            query,
            encoding,
            share,
            account: Arc::new(account),
            address,
        };
        let subscriber = self.clone().subscriber(upgrade, admitted);
        let jetstream = self.shared.jetstream.clone();
        self.shared.connections.spawn(async move {
            watched(&jetstream, "subscriber", subscriber).await;
        });
        Ok((StatusCode::SWITCHING_PROTOCOLS, headers).into_response())
    }

    /// The time before which nothing is in the future. Events that come in together are given
    /// times that run ahead of the clock, and so may all be if the clock was set back.
    fn now(&self) -> SystemTime {
        let newest = self.shared.jetstream.bounds().newest_time_us;
        let newest = Duration::from_micros(newest.unwrap_or_default());
        SystemTime::now().max(SystemTime::UNIX_EPOCH + newest)
    }

    /// The form that a subscriber asks for. It keeps the dictionary that it begins with, whatever
    /// the server uses later.
    fn encoding(&self, query: &Query, share: Option<&Share>) -> Result<Subscribed, Refusal> {
        let current = self.dictionary(query.format.shape);
        let dictionary = match query.dictionary {
            None => current,
            Some(id) => Some(self.dictionary_with(id).ok_or_else(|| {
                let current = current.map(|dictionary| dictionary.id());
                let current = current.map_or_else(|| "none".to_owned(), |id| id.to_string());
                let body = format!("unknown zstdDictionary: {id} (the one in use is {current})");
                Refusal::Text(StatusCode::BAD_REQUEST, body)
            })?),
        };
        let permits = if query.format.compression == Compression::Stream {
            let permit = Arc::clone(&self.shared.streams).try_acquire_owned();
            let permit = permit.map_err(|_| {
                refused("streams");
                let body = "too many streaming subscribers".to_owned();
                Refusal::Text(StatusCode::SERVICE_UNAVAILABLE, body)
            })?;
            let own = share.map(|share| {
                share.stream().ok_or_else(|| {
                    refused("streams_of_address");
                    let body = "too many streaming subscribers from this address".to_owned();
                    Refusal::Text(StatusCode::TOO_MANY_REQUESTS, body)
                })
            });
            (Some(permit), own.transpose()?)
        } else {
            (None, None)
        };
        let recoder = Arc::clone(&self.shared.recoder);
        let encoding = Encoding::new(query.format, dictionary, recoder);
        let failed = |error: CompressError| {
            Refusal::Text(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
        };
        Ok(Subscribed {
            encoding: encoding.map_err(failed)?,
            _permits: permits,
        })
    }

    /// A share for this request in what its address may have.
    fn enter(&self, request: &Request) -> Result<Option<Arc<Share>>, Refusal> {
        let options = &self.shared.options;
        let Some(ip) = self.address(request) else {
            return Ok(None);
        };
        match self.shared.addresses.enter(ip, options) {
            Some(share) => Ok(Some(Arc::new(share))),
            None => {
                refused("address");
                let body = "too many connections from this address".to_owned();
                Err(Refusal::Text(StatusCode::TOO_MANY_REQUESTS, body))
            }
        }
    }

    /// The address of a client, as far as it is known.
    fn address(&self, request: &Request) -> Option<IpAddr> {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
        let peer = peer.map(|info| info.0);
        client_ip(peer, request.headers(), &self.shared.options)
    }

    async fn subscriber(self, upgrade: OnUpgrade, admitted: Admitted) {
        let upgraded = match upgrade.await {
            Ok(upgraded) => upgraded,
            Err(error) => {
                debug!(%error, "a connection ended before it became a websocket");
                return;
            }
        };
        // A plain socket can be had without the layers that HTTP has put around it.
        let (stream, read_buf, _open) = match plain(upgraded) {
            Ok(plain) => plain,
            Err(upgraded) => {
                let halves = tokio::io::split(TokioIo::new(upgraded));
                return self.connected(halves, &[], admitted).await;
            }
        };
        self.connected(stream.into_split(), &read_buf, admitted)
            .await;
    }

    async fn connected<R: AsyncRead + Unpin, W: Socket>(
        self,
        (read, write): (R, W),
        early: &[u8],
        admitted: Admitted,
    ) {
        let Admitted {
            query,
            encoding: Subscribed { encoding, _permits },
            share,
            account,
            address,
        } = admitted;
        let Shared {
            jetstream,
            options,
            metrics,
            live,
            batches,
            updates,
            ..
        } = &*self.shared;
        metrics.subscribers.increment(1);
        let address = address.map(display);
        info!(address, "a subscriber has come");
        let common = Common {
            jetstream: jetstream.clone(),
            options: Arc::clone(options),
            metrics: Arc::clone(metrics),
            updates: Arc::clone(updates),
        };
        let allowance = Allowance::new(Arc::clone(options), share.clone());
        let inbound = Inbound::new(read, early, &query, common, Arc::clone(&account), allowance);
        let outbound = Outbound::new(write, &query, encoding, share, account);
        let connection = Connection::new(inbound, &query, Arc::clone(metrics));
        let live = match query.format.compression {
            Compression::Batches => batches,
            _ => live,
        };
        let end = connection.run(outbound, jetstream, live, &query).await;
        metrics.subscribers.decrement(1);
        ::metrics::counter!("jetwash_subscribers_ended_total", "reason" => end.reason())
            .increment(1);
        // The reason is of a fixed list; what else there is to say may quote the client.
        info!(address, reason = end.reason(), "a subscriber has gone");
        debug!(%end, "why it has gone");
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
    "Welcome to Jetstream, served by jetwash. Subscribe to events at /subscribe\n"
}

async fn subscribe(State(server): State<Server>, request: Request) -> Response {
    server
        .accept(request)
        .unwrap_or_else(IntoResponse::into_response)
}

/// The socket of a connection, what has been read from it, and what counts it, if it came through
/// this crate's server or axum's.
fn plain(upgraded: Upgraded) -> Result<(TcpStream, Bytes, Option<Open>), Upgraded> {
    match upgraded.downcast::<TokioIo<Guarded>>() {
        Ok(parts) => {
            let (stream, open) = parts.io.into_inner().into_parts();
            Ok((stream, parts.read_buf, Some(open)))
        }
        Err(upgraded) => downcast::<TokioIo<TcpStream>>(upgraded)
            .map(|Parts { io, read_buf, .. }| (io.into_inner(), read_buf, None)),
    }
}

/// In what form a subscriber gets events, with its permit if that is limited.
struct Subscribed {
    encoding: Encoding,
    _permits: (Option<OwnedSemaphorePermit>, Option<OwnedSemaphorePermit>),
}

/// A subscriber that has been let in.
struct Admitted {
    query: Query,
    encoding: Subscribed,
    share: Option<Arc<Share>>,
    account: Arc<Account>,
    /// `None` if it is not known, or not to be told.
    address: Option<IpAddr>,
}

/// Why a request does not become a subscriber.
enum Refusal {
    /// It is no GET.
    Method,
    /// It asks for no websocket.
    NoHandshake,
    /// It asks for what cannot be had; the text is the body of the answer.
    Text(StatusCode, String),
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, body, version) = match self {
            Self::Method => {
                let json = HeaderValue::from_static("application/json");
                let headers = [
                    (CONTENT_TYPE, json),
                    (ALLOW, HeaderValue::from_static(METHODS)),
                ];
                let body = r#"{"message":"Method Not Allowed"}"#;
                return (StatusCode::METHOD_NOT_ALLOWED, headers, body).into_response();
            }
            // What Jetstream answers, to the letter.
            Self::NoHandshake => (StatusCode::BAD_REQUEST, "Bad Request\n".to_owned(), true),
            Self::Text(status, body) => (status, body, false),
        };
        let mut response = (status, Body::from(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=UTF-8"),
        );
        if version {
            headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        }
        response
    }
}

/// How many bytes of events are kept in forms that the log does not have.
const RECODED_BYTES: usize = 2 << 20;
const GOODBYE: Duration = Duration::from_secs(5);
