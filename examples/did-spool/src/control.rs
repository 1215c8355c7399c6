//! The accounts over HTTP.
//!
//! | call | what it does |
//! | --- | --- |
//! | `POST /dids`, one DID a line | adds them |
//! | `DELETE /dids`, one DID a line | removes them |
//! | `GET /dids?after=DID&limit=N` | lists some, in order; the answer's `next` is the next `after` |
//! | `GET /dids/count` | counts them |
//! | `GET /status` | how far relay, log and spool are |
//!
//! Web pages that somebody has open on this machine cannot call: what comes from another origin, in
//! a form's content type, or for a host name that is not this server's is refused. A POST has none
//! of the three content types that a page may send without asking first, which are also those that
//! curl makes up:
//!
//! ```text
//! curl -H 'Content-Type: text/uri-list' --data-binary @dids.txt http://127.0.0.1:7780/dids
//! ```
//!
//! A change is on the disk when it is answered. The answer's `cursor` is where it holds from: every
//! later event of the log was judged with it.

use std::collections::BinaryHeap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Query, Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use jetwash::event::Did;
use jetwash::{Cursor, Jetstream};
use jetwash_serve::{HttpLimits, serve_http};
use jetwash_spool::{SpoolState, SpoolStatus};
use serde::Deserialize;
use serde_json::json;
use subtle::ConstantTimeEq;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use crate::accounts::{Accounts, Action};

/// The state that the calls share.
pub(crate) struct Control {
    accounts: Accounts,
    jetstream: Jetstream,
    source: String,
    spool: watch::Receiver<SpoolStatus>,
}

impl Control {
    pub(crate) const fn new(
        accounts: Accounts,
        jetstream: Jetstream,
        source: String,
        spool: watch::Receiver<SpoolStatus>,
    ) -> Self {
        Self {
            accounts,
            jetstream,
            source,
            spool,
        }
    }

    /// Opens the socket. Without a token it has to be on loopback. Calls are for an IP address,
    /// `localhost` or one of `hosts`.
    pub(crate) async fn bind(
        self,
        address: SocketAddr,
        token: Option<String>,
        hosts: Vec<String>,
    ) -> Result<Server, BindError> {
        let token = token.filter(|token| !token.is_empty());
        if token
            .as_ref()
            .is_some_and(|token| token.len() < LEAST_TOKEN)
        {
            return Err(BindError::ShortToken);
        }
        if token.is_none() && !address.ip().is_loopback() {
            return Err(BindError::NoToken(address));
        }
        let listener = TcpListener::bind(address).await;
        let listener = listener.map_err(|error| BindError::Listen(address, error))?;
        tracing::info!(
            "accounts are changed at http://{}/dids",
            listener.local_addr()?
        );
        let router = Router::new()
            .route("/dids", get(list).post(add).delete(remove))
            .route("/dids/count", get(count))
            .route("/status", get(status))
            .with_state(Arc::new(self))
            .layer(from_fn_with_state(token.map(Arc::from), check))
            .layer(from_fn_with_state(Hosts(hosts.into()), check_origin));
        Ok(Server { listener, router })
    }
}

/// A socket that is open.
pub(crate) struct Server {
    listener: TcpListener,
    router: Router,
}

impl Server {
    pub(crate) async fn serve(self) -> io::Result<()> {
        let limits = HttpLimits::default().max_connections(MOST_CONNECTIONS);
        serve_http(self.listener, self.router, limits, std::future::pending()).await
    }
}

async fn add(control: State<Arc<Control>>, dids: String) -> Result<Response, Refusal> {
    change(control, Action::Add, &dids).await
}

async fn remove(control: State<Arc<Control>>, dids: String) -> Result<Response, Refusal> {
    change(control, Action::Remove, &dids).await
}

async fn change(
    State(control): State<Arc<Control>>,
    action: Action,
    dids: &str,
) -> Result<Response, Refusal> {
    let lines = dids.lines().map(str::trim).filter(|line| !line.is_empty());
    let parse = |line: &str| line.parse().map_err(|error| Refusal::did(line, &error));
    let dids: Vec<Did> = lines.map(parse).collect::<Result<_, _>>()?;
    let changing = Arc::clone(&control);
    let change = spawn_blocking(move || changing.accounts.change(action, &dids)).await??;
    let changed = change.count();
    let cursor = control.jetstream.holds_from(change).await?.get();
    let count = control.accounts.set().len();
    Ok(Json(json!({ "changed": changed, "count": count, "cursor": cursor })).into_response())
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    after: String,
    limit: Option<usize>,
}

/// The set has no order, so each page is picked from all of it; the memory is that of a page.
async fn list(
    State(control): State<Arc<Control>>,
    Query(page): Query<Page>,
) -> Result<Response, Refusal> {
    let limit = page.limit.unwrap_or(1000).clamp(1, 10_000);
    let pick = move || {
        let mut first = BinaryHeap::with_capacity(limit + 1);
        for did in control
            .accounts
            .set()
            .iter()
            .filter(|did| did.as_str() > page.after.as_str())
        {
            first.push(did);
            if first.len() > limit {
                first.pop();
            }
        }
        first.into_sorted_vec()
    };
    let dids = spawn_blocking(pick).await?;
    let dids: Vec<&str> = dids.iter().map(Did::as_str).collect();
    let next = dids.last().filter(|_| dids.len() == limit);
    Ok(Json(json!({ "dids": dids, "next": next })).into_response())
}

async fn count(State(control): State<Arc<Control>>) -> Response {
    Json(json!({ "count": control.accounts.set().len() })).into_response()
}

async fn status(State(control): State<Arc<Control>>) -> Response {
    let spool = control.spool.borrow().clone();
    let trouble = match &spool.state {
        SpoolState::Waiting { message, .. } => Some(message),
        _ => None,
    };
    Json(json!({
        "relay": control.jetstream.source_cursor(&control.source),
        "cursor": Cursor::before(control.jetstream.bounds().next_seq),
        "spool": {
            "cursor": spool.cursor.get(),
            "files": spool.files,
            "posts": spool.events,
            "lost": spool.gap_events,
            "trouble": trouble,
        },
    }))
    .into_response()
}

/// Lets only those pass who have the token, if there is one.
async fn check(State(token): State<Option<Arc<str>>>, request: Request, next: Next) -> Response {
    let given = request.headers().get(header::AUTHORIZATION);
    let given = given.and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    let is_allowed = token.is_none_or(|token| {
        // It takes the same time however much of the token is right.
        given.is_some_and(|given| given.ct_eq(token.as_bytes()).into())
    });
    if is_allowed {
        next.run(request).await
    } else {
        (
            StatusCode::UNAUTHORIZED,
            [(header::WWW_AUTHENTICATE, "Bearer")],
        )
            .into_response()
    }
}

/// The names that the server is called by, besides `localhost`.
#[derive(Clone)]
struct Hosts(Arc<[String]>);

impl Hosts {
    /// Whether the authority of a URL is this server's, as far as it can be told from the name.
    ///
    /// An address cannot be made to point elsewhere, as a name of somebody else's can.
    fn has(&self, authority: &Authority) -> bool {
        let host = authority.host();
        let address = host.trim_start_matches('[').trim_end_matches(']');
        address.parse::<IpAddr>().is_ok()
            || host.eq_ignore_ascii_case("localhost")
            || self.0.iter().any(|name| name.eq_ignore_ascii_case(host))
    }
}

/// Refuses what a web page can make a browser send that has never heard of this server.
async fn check_origin(State(hosts): State<Hosts>, request: Request, next: Next) -> Response {
    match foreign(&hosts, request.method(), request.headers()) {
        Some(refusal) => refusal.into_response(),
        None => next.run(request).await,
    }
}

fn foreign(hosts: &Hosts, method: &Method, headers: &HeaderMap) -> Option<Refusal> {
    let refuse = |status, message: &str| Some(Refusal(status, message.to_owned()));
    let host = only(headers, header::HOST).and_then(|host| host.parse::<Authority>().ok());
    // A name that leads here only because its owner says so: DNS rebinding.
    let Some(host) = host.filter(|host| hosts.has(host)) else {
        return refuse(
            StatusCode::MISDIRECTED_REQUEST,
            "the Host is not this server's: call it by address, or name it with --host",
        );
    };
    let is_own = match headers.contains_key(header::ORIGIN) {
        true => only(headers, header::ORIGIN)
            .and_then(|origin| origin.split_once("://"))
            .is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host.as_str())),
        // Browsers say that much where they leave out the origin.
        false => {
            !headers.contains_key(FETCH_SITE)
                || only(headers, FETCH_SITE).is_some_and(|site| OWN_SITES.contains(&site))
        }
    };
    if !is_own {
        return refuse(
            StatusCode::FORBIDDEN,
            "calls from other origins are refused",
        );
    }
    let sort = headers
        .get(header::CONTENT_TYPE)
        .map(|sort| sort.as_bytes());
    let sort = sort.and_then(|sort| sort.split(|byte| *byte == b';').next());
    let is_form = sort.is_some_and(|sort| {
        FORMS
            .iter()
            .any(|form| form.as_bytes().eq_ignore_ascii_case(sort.trim_ascii()))
    });
    if is_form && method == Method::POST {
        return refuse(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "a form's content type is refused: say text/uri-list",
        );
    }
    None
}

/// The value of a header that is there once.
fn only(headers: &HeaderMap, name: impl header::AsHeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    value.to_str().ok().filter(|_| values.next().is_none())
}

/// Source: Fetch Metadata Request Headers.
const FETCH_SITE: &str = "sec-fetch-site";
const OWN_SITES: [&str; 2] = ["same-origin", "none"];

/// The content types of requests that browsers send without asking the server first.
///
/// Source: the Fetch standard, CORS-safelisted request-header.
const FORMS: [&str; 3] = [
    "application/x-www-form-urlencoded",
    "multipart/form-data",
    "text/plain",
];

/// Callers are few; the log and the spool need files too.
const MOST_CONNECTIONS: usize = 64;

/// A shorter token could be found by trying.
const LEAST_TOKEN: usize = 16;

/// A call that was not carried out.
struct Refusal(StatusCode, String);

impl Refusal {
    fn did(text: &str, error: &jetwash::event::IdentifierError) -> Self {
        let text: String = text.chars().take(100).collect();
        let message = format!("`{text}` is not a DID: {}", error.rule());
        Self(StatusCode::BAD_REQUEST, message)
    }
}

impl<E: std::error::Error> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}

/// Why there is no socket.
#[derive(Debug, Error)]
pub(crate) enum BindError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("--listen {0}: {1}")]
    Listen(SocketAddr, io::Error),
    #[error("--listen {0} is not on loopback: give a token, with --token or DID_SPOOL_TOKEN")]
    NoToken(SocketAddr),
    #[error(
        "the token is shorter than {LEAST_TOKEN} characters: give a longer one, such as `openssl rand -hex 16` makes"
    )]
    ShortToken,
}
