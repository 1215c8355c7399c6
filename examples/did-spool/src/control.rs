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
//! A change is on the disk when it is answered. The answer's `cursor` is where it holds from: every
//! later event of the log was judged with it.

use std::collections::BinaryHeap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Query, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use jetwash::Jetstream;
use jetwash::event::Did;
use jetwash_spool::{SpoolState, SpoolStatus};
use serde::Deserialize;
use serde_json::json;
use subtle::ConstantTimeEq;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use crate::accounts::{Accounts, Action};

/// What the calls are about.
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

    /// Opens the socket. Without a token it has to be on loopback.
    pub(crate) async fn bind(
        self,
        address: SocketAddr,
        token: Option<String>,
    ) -> Result<Server, BindError> {
        let token = token.filter(|token| !token.is_empty());
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
            .layer(from_fn_with_state(token.map(Arc::from), check));
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
        axum::serve(self.listener, self.router).await
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
        "cursor": control.jetstream.bounds().next_seq - 1,
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
}
