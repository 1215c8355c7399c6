use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{ConnectInfo, Request};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::http::files::{connections_within, file_limit};
use crate::http::guarded::{Clock, Guarded};
use crate::http::headers::{has_one_host, host_refusal};
use crate::http::open::{OpenConnections, TooMany};
use crate::memory::Budget;

/// Serves a router over HTTP/1.1 on `listener` until `shutdown` completes, within limits that
/// `axum::serve` does not have: for time and for the number of connections.
///
/// Heads of requests that have not come to their end take 16 MB at most; when they take more, the
/// largest are closed. A connection above the limits is told so with `503`, or with `429` if its
/// address has too many, and closed; if there are many of those, it is just closed. One that takes
/// too long over a request gets `408` if nothing has been answered yet, and is closed. A request
/// must have exactly one `Host` (RFC 9112, section 3.2), or gets `400`. Handlers can ask for
/// `ConnectInfo<SocketAddr>`. A connection that becomes a websocket has no more time limits here,
/// but goes on to count.
///
/// When `shutdown` completes, nothing more is accepted, requests that are being answered get five
/// more seconds, and all other connections are closed within one.
///
/// It counts `jetwash_connections_open`, `jetwash_connections_refused_total` with the `reason`
/// `total`, `address` or `memory`, `jetwash_connections_timed_out_total` with the `stage` `head`, `request`
/// or `idle`, and `jetwash_accept_errors_total`.
///
/// # Errors
///
/// None so far: what cannot be accepted, because there are too many open files or for any other
/// reason, is tried again after a tenth of a second.
///
/// # Examples
///
/// ```
/// use axum::{Router, routing::get};
/// use jetwash_serve::{HttpLimits, serve_http};
/// use tokio::net::TcpListener;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let router = Router::new().route("/healthz", get(|| async { "ok\n" }));
/// let limits = HttpLimits::default().max_connections(16);
/// serve_http(listener, router, limits, async {}).await
/// # }
/// ```
pub async fn serve_http(
    listener: TcpListener,
    router: Router,
    limits: HttpLimits,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let memory = Arc::new(Budget::new(HEADS_BYTES));
    serve_within(listener, router, limits, memory, shutdown).await
}

/// The same for a server whose subscribers share the memory for requests.
pub(crate) async fn serve_within(
    listener: TcpListener,
    router: Router,
    limits: HttpLimits,
    memory: Arc<Budget>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let open = OpenConnections::new(limits.max_connections, limits.max_connections_per_address);
    let (open, limits) = (Arc::new(open), Arc::new(limits));
    let refusals = Arc::new(Semaphore::new(MOST_REFUSALS));
    let stop = CancellationToken::new();
    // The connections end as well if this is dropped.
    let _stop = stop.clone().drop_guard();
    let connections = TaskTracker::new();
    let mut shutdown = pin!(shutdown);
    let mut complained = None;
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if is_of_one_connection(&error) => continue,
            Err(error) => {
                ::metrics::counter!("jetwash_accept_errors_total").increment(1);
                if complained.is_none_or(|last: Instant| last.elapsed() > COMPLAINT) {
                    warn!(%error, "connections cannot be accepted for now");
                    complained = Some(Instant::now());
                }
                tokio::select! {
                    () = &mut shutdown => break,
                    () = sleep(ACCEPT_PAUSE) => continue,
                }
            }
        };
        match open.open(peer.ip()) {
            Ok(open) => {
                // Otherwise an event may have to wait until the one before it has been acknowledged.
                if let Err(error) = stream.set_nodelay(true) {
                    debug!(%error, "events to one subscriber may be delayed");
                }
                let account = memory.account(stop.child_token());
                let (router, limits, stop) = (router.clone(), Arc::clone(&limits), stop.clone());
                let clock = Arc::new(Clock::new(limits));
                let io = Guarded::new(stream, open, Arc::clone(&clock), account);
                connections.spawn(connection(io, peer, clock, router, stop));
            }
            Err(why) => {
                let mut stream = stream;
                refused(why.reason());
                if let Ok(permit) = Arc::clone(&refusals).try_acquire_owned() {
                    connections.spawn(async move {
                        // Whether it hears it is its own affair.
                        let _ = timeout(REFUSAL, refuse(&mut stream, too_many(why))).await;
                        drop(permit);
                    });
                }
            }
        }
    }
    drop(listener);
    stop.cancel();
    connections.close();
    connections.wait().await;
    Ok(())
}

/// How long connections may take over their requests, and how many there may be.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use jetwash_serve::HttpLimits;
///
/// let limits = HttpLimits::default().max_connections(1000).idle_timeout(Duration::from_secs(75));
/// assert_eq!(limits.head_timeout, Duration::from_secs(10));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpLimits {
    /// How long a request's head may take, from the opening of the connection or from the head's
    /// first byte: 10 s by default.
    pub head_timeout: Duration,
    /// How long the rest may take, which is the request's body and the answer: 60 s by default.
    pub request_timeout: Duration,
    /// How long a connection may wait for its next request: 30 s by default. Behind a proxy it
    /// should be longer than the proxy's own timeout.
    pub idle_timeout: Duration,
    /// The most open connections. The default is the soft limit of open files that the process has
    /// when this is made, without a reserve for all else that opens files, and at most 65,536: a
    /// quarter is kept back, at least 192 files or half of what there is, and at most 1,024. See
    /// [`raise_file_limit`](crate::raise_file_limit).
    pub max_connections: usize,
    /// The most open connections from one address; any number by default. Of IPv6 addresses those
    /// of a /64 count as one. Behind a proxy all come from the proxy's address.
    pub max_connections_per_address: Option<usize>,
}

impl HttpLimits {
    /// Sets [`HttpLimits::head_timeout`].
    #[must_use]
    pub const fn head_timeout(mut self, timeout: Duration) -> Self {
        self.head_timeout = timeout;
        self
    }

    /// Sets [`HttpLimits::request_timeout`].
    #[must_use]
    pub const fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// Sets [`HttpLimits::idle_timeout`].
    #[must_use]
    pub const fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// Sets [`HttpLimits::max_connections`].
    #[must_use]
    pub const fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections;
        self
    }

    /// Sets [`HttpLimits::max_connections_per_address`].
    #[must_use]
    pub const fn max_connections_per_address(mut self, connections: usize) -> Self {
        self.max_connections_per_address = Some(connections);
        self
    }
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            head_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(30),
            max_connections: connections_within(file_limit()),
            max_connections_per_address: None,
        }
    }
}

/// Serves the requests of one connection, until it ends, takes too long or becomes a websocket.
async fn connection(
    io: Guarded,
    peer: SocketAddr,
    clock: Arc<Clock>,
    router: Router,
    stop: CancellationToken,
) {
    let ending = io.ending().clone();
    let service = TowerToHyperService::new(router);
    let service = service_fn(|request: Request<Incoming>| {
        clock.begin();
        let end = EndOfAnswer(Arc::clone(&clock));
        let is_right = has_one_host(&request);
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        let answer = is_right.then(|| service.call(request));
        async move {
            let response = match answer {
                Some(answer) => answer.await?,
                None => host_refusal(),
            };
            Ok::<_, Infallible>(response.map(|body| Answer { body, _end: end }))
        }
    });
    let mut builder = http1::Builder::new();
    builder.max_buf_size(MOST_HEAD);
    let mut serving = builder
        .serve_connection(TokioIo::new(io), service)
        .with_upgrades();
    let mut timer = pin!(sleep_until(clock.due()));
    let mut stopping = pin!(ending.cancelled());
    let mut is_stopping = false;
    let is_late = poll_fn(|context| {
        loop {
            if let Poll::Ready(outcome) = Pin::new(&mut serving).poll(context) {
                if let Err(error) = outcome {
                    debug!(%error, "a connection failed");
                }
                return Poll::Ready(false);
            }
            if !is_stopping && stopping.as_mut().poll(context).is_ready() {
                if !stop.is_cancelled() {
                    refused("memory");
                    return Poll::Ready(false);
                }
                is_stopping = true;
                clock.stop();
                Pin::new(&mut serving).graceful_shutdown();
                continue;
            }
            // All that changes it happens while the connection is polled.
            let due = clock.due();
            if timer.deadline() != due {
                timer.as_mut().reset(due);
            }
            if timer.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            if let Some(stage) = clock.overdue() {
                ::metrics::counter!("jetwash_connections_timed_out_total", "stage" => stage)
                    .increment(1);
                return Poll::Ready(!is_stopping);
            }
        }
    })
    .await;
    if is_late
        && let Some(parts) = serving.into_parts()
        && let mut io = parts.io.into_inner()
        && let Some(stream) = io.unanswered()
    {
        // Whether it hears it is its own affair.
        let _ = timeout(REFUSAL, refuse(stream, LATE)).await;
    }
}

/// Counts a connection that is closed because there is too much of something.
fn refused(reason: &'static str) {
    ::metrics::counter!("jetwash_connections_refused_total", "reason" => reason).increment(1);
}

/// The body of an answer. When all of it has been taken, the connection waits for a request.
struct Answer {
    body: Body,
    _end: EndOfAnswer,
}

struct EndOfAnswer(Arc<Clock>);

impl Drop for EndOfAnswer {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Says why a connection is closed. What it sends is taken for a moment: otherwise the answer
/// would be lost in a reset.
async fn refuse(stream: &mut TcpStream, (status, more, body): Refusal) -> io::Result<()> {
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=UTF-8\r\nContent-Length: \
         {length}\r\n{more}Connection: close\r\n\r\n{body}"
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    let mut rest = MOST_HEAD;
    let mut buffer = [0; 1024];
    while rest > 0 {
        match stream.read(&mut buffer).await? {
            0 => break,
            count => rest = rest.saturating_sub(count),
        }
    }
    Ok(())
}

/// A status, a header if there is one, and a body.
type Refusal = (&'static str, &'static str, &'static str);

const fn too_many(why: TooMany) -> Refusal {
    const LATER: &str = "Retry-After: 10\r\n";
    match why {
        TooMany::Together => ("503 Service Unavailable", LATER, "too many connections"),
        TooMany::FromAddress => (
            "429 Too Many Requests",
            LATER,
            "too many connections from this address",
        ),
    }
}

const LATE: Refusal = (
    "408 Request Timeout",
    "",
    "the request has not come to its end in time",
);

/// Whether it is only this connection that cannot be accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

/// How much memory there is for heads, if it is not shared with subscribers.
const HEADS_BYTES: usize = 16 << 20;
/// A request line may have 64 KB.
const MOST_HEAD: usize = 128 << 10;
/// How many connections at once are told that there are too many.
const MOST_REFUSALS: usize = 16;
const REFUSAL: Duration = Duration::from_secs(1);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often the log says that connections cannot be accepted.
const COMPLAINT: Duration = Duration::from_secs(60);
