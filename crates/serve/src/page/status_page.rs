use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::from_fn_with_state;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;

use crate::page::board::Board;
use crate::page::guard::{content_security_policy, guarded};
use crate::page::options::StatusPageOptions;
use crate::page::sampler::keep_history;
use crate::page::viewer::Viewer;
use crate::page::wish::Wish;
use crate::server::Server;

/// A page that shows how a [`Server`] and its [`Jetstream`](jetwash::Jetstream) do, for a browser.
///
/// It is read-only. Mount its [`router`](Self::router) on a socket that the public cannot reach: it
/// names upstreams, and says what subscribers ask for. It has:
///
/// - the upstreams with their states, lags and rates, and the range of the log;
/// - events in a second over the last hour;
/// - subscribers and consumers, with their lags;
/// - what was dropped, by reason, and collections by rate;
/// - the newest events, up to 20 a second, filtered by collection, account or text.
///
/// `docs/page.md` of the repository lists the fields of the JSON and of the stream that it is made
/// of. A sample is taken every 10 s, and kept for an hour. Everything else is computed only while
/// somebody looks.
///
/// # Examples
///
/// ```
/// use jetwash::Jetstream;
/// use jetwash_serve::{HttpLimits, ServeOptions, Server, StatusPage, StatusPageOptions, serve_http};
/// use tokio::net::TcpListener;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (jetstream, ingest) = Jetstream::builder().build()?;
/// tokio::spawn(ingest.run(std::future::pending()));
/// // Consumers are shown too. A server that is never served has no subscribers.
/// let server = Server::new(jetstream, ServeOptions::default());
/// let page = StatusPage::new(&server, StatusPageOptions::default());
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// println!("look at http://{}/", listener.local_addr()?);
/// serve_http(listener, page.router(), HttpLimits::default(), async {}).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct StatusPage {
    board: Arc<Board>,
}

impl StatusPage {
    /// Makes a page of what `server` has. It opens no socket. Within a tokio runtime it begins to take
    /// samples at once, otherwise when it is first asked for.
    #[must_use]
    pub fn new(server: &Server, options: StatusPageOptions) -> Self {
        let page = Self {
            board: Arc::new(Board::new(server.connected(), options)),
        };
        keep_history(&page.board);
        page
    }

    /// Returns the routes: the page at `/`, its data at `/page/status.json`, and its stream at
    /// `/page/live`.
    ///
    /// It may be nested under a path. Requests have to come for `localhost`, an IP address, or one of
    /// [`StatusPageOptions::hosts`], and not from a page of another origin.
    pub fn router(&self) -> Router {
        let options = Arc::clone(&self.board.options);
        Router::new()
            .route("/", get(page))
            .route("/page/status.json", get(status))
            .route("/page/live", get(live))
            .route_layer(from_fn_with_state(options, guarded))
            .with_state(Arc::clone(&self.board))
    }

    /// Returns how many viewers are connected.
    #[must_use]
    pub fn viewers(&self) -> usize {
        self.board.viewers()
    }
}

impl fmt::Debug for StatusPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatusPage")
            .field("viewers", &self.viewers())
            .finish_non_exhaustive()
    }
}

async fn page() -> Response {
    let policy = (CONTENT_SECURITY_POLICY, content_security_policy(HTML));
    ([policy], Html(HTML)).into_response()
}

async fn status(State(board): State<Arc<Board>>) -> Response {
    keep_history(&board);
    let status = board.status().await;
    let body = format!(
        r#"{{"status":{status},"samples":{}}}"#,
        board.history().all()
    );
    (json(), body).into_response()
}

/// Begins a stream, or says why not: a browser shows no reason of its own.
async fn live(
    State(board): State<Arc<Board>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    keep_history(&board);
    let wish = match Wish::parse(query.as_deref().unwrap_or_default(), &headers) {
        Ok(wish) => wish,
        Err(error) => return (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    };
    let Some(seat) = board.enter() else {
        let body = format!("{} viewers are the most\n", board.options.max_viewers);
        let soon = [(RETRY_AFTER, HeaderValue::from_static("10"))];
        return (StatusCode::SERVICE_UNAVAILABLE, soon, body).into_response();
    };
    match Viewer::new(board, seat, wish).await {
        Ok(viewer) => (event_stream(), viewer.into_body()).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

const fn json() -> [(HeaderName, HeaderValue); 1] {
    let kind = HeaderValue::from_static("application/json; charset=utf-8");
    [(CONTENT_TYPE, kind)]
}

/// A proxy that gathers bytes would make the stream late.
const fn event_stream() -> [(HeaderName, HeaderValue); 2] {
    let kind = HeaderValue::from_static("text/event-stream; charset=utf-8");
    let at_once = HeaderValue::from_static("no");
    [
        (CONTENT_TYPE, kind),
        (HeaderName::from_static("x-accel-buffering"), at_once),
    ]
}

const HTML: &str = include_str!("page.html");
