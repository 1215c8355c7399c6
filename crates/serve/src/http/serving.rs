use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::http::clock::Clock;
use crate::http::guarded::Guarded;
use crate::http::limits::HttpLimits;
use crate::http::open::{Open, OpenConnections, TooMany};
use crate::http::refusal::{Refusal, count_refused};
use crate::http::requests::serve_requests;
use crate::memory::Budget;

/// Serves a router over HTTP/1.1 on `listener` until `shutdown` completes, within limits that
/// `axum::serve` does not have: for time and for the number of connections.
///
/// - A connection above the limits gets `503`, or `429` if its address has too many, and is closed.
///   If there are many of them at once, they are closed without an answer.
/// - A connection that takes too long over a request gets `408`, if nothing has been answered yet,
///   and is closed.
/// - Unfinished heads of requests take up to 16 MB together. Above that, the largest are closed.
/// - A request must have exactly one `Host` (RFC 9112, section 3.2), otherwise it gets `400`.
/// - A connection that becomes a websocket has no more time limits here, but still counts.
///
/// Handlers can extract `ConnectInfo<SocketAddr>`.
///
/// When `shutdown` completes, no more connections are accepted. Requests that are being answered
/// get five more seconds; all other connections are closed within one second.
///
/// Its metrics are `jetwash_connections_open`, `jetwash_connections_refused_total` with the
/// `reason` `total`, `address` or `memory`, `jetwash_connections_timed_out_total` with the `stage`
/// `head`, `request` or `idle`, and `jetwash_accept_errors_total`.
///
/// # Errors
///
/// None so far. If accepting fails, because of too many open files or for any other reason, it is
/// tried again after a tenth of a second.
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

/// Serves a router as [`serve_http`] does, with memory for requests that subscribers share.
pub(crate) async fn serve_within(
    listener: TcpListener,
    router: Router,
    limits: HttpLimits,
    memory: Arc<Budget>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let open = OpenConnections::new(limits.max_connections, limits.max_connections_per_address);
    let open = Arc::new(open);
    let stop = CancellationToken::new();
    // The connections end as well if this future is dropped.
    let _stop = stop.clone().drop_guard();
    let acceptor = Acceptor {
        router,
        limits: Arc::new(limits),
        memory,
        refusals: Arc::new(Semaphore::new(MOST_REFUSALS)),
        connections: TaskTracker::new(),
        stop,
    };
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
            // Most likely there are too many open files, which passes as connections end. To return
            // would end a server that serves everybody else well.
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
            Ok(open) => acceptor.serve(stream, open, peer),
            Err(why) => acceptor.refuse(stream, why),
        }
    }
    drop(listener);
    acceptor.finish().await;
    Ok(())
}

/// Starts a task for each connection that has been accepted.
struct Acceptor {
    router: Router,
    limits: Arc<HttpLimits>,
    memory: Arc<Budget>,
    /// A permit for each connection that is being told why it is refused.
    refusals: Arc<Semaphore>,
    connections: TaskTracker,
    stop: CancellationToken,
}

impl Acceptor {
    fn serve(&self, stream: TcpStream, open: Open, peer: SocketAddr) {
        // Otherwise an event may wait until the one before it has been acknowledged.
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, "events to one subscriber may be delayed");
        }
        let account = self.memory.account(self.stop.child_token());
        let clock = Arc::new(Clock::new(Arc::clone(&self.limits)));
        let io = Guarded::new(stream, open, Arc::clone(&clock), account);
        let serving = serve_requests(io, peer, clock, self.router.clone(), self.stop.clone());
        self.connections.spawn(serving);
    }

    /// Closes a connection, with a reason unless too many are being told theirs.
    fn refuse(&self, mut stream: TcpStream, why: TooMany) {
        count_refused(why.reason());
        if let Ok(permit) = Arc::clone(&self.refusals).try_acquire_owned() {
            self.connections.spawn(async move {
                Refusal::too_many(why).send(&mut stream).await;
                drop(permit);
            });
        }
    }

    /// Stops all connections and waits for them.
    async fn finish(self) {
        self.stop.cancel();
        self.connections.close();
        self.connections.wait().await;
    }
}

/// Whether an error of `accept` concerns one connection alone.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

/// The memory for heads, if it is not shared with subscribers.
const HEADS_BYTES: usize = 16 << 20;
/// How many connections are told at the same time that there are too many.
const MOST_REFUSALS: usize = 16;
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The interval of warnings that connections cannot be accepted.
const COMPLAINT: Duration = Duration::from_secs(60);
