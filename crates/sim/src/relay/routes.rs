use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Query, State, WebSocketUpgrade};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};

use super::reader;
use super::state::{Feed, Relay};
use crate::network::RepoError;

pub(super) fn router(relay: Arc<Relay>) -> Router {
    Router::new()
        .route("/xrpc/com.atproto.sync.subscribeRepos", get(subscribe))
        .route("/xrpc/com.atproto.sync.getRepo", get(repo))
        .route("/xrpc/_health", get(health))
        .route("/_health", get(health))
        .route("/{did}", get(document))
        .with_state(relay)
}

pub(crate) type Params = Query<HashMap<String, String>>;

async fn subscribe(
    State(relay): State<Arc<Relay>>,
    params: Params,
    upgrade: WebSocketUpgrade,
) -> Response {
    follow(Arc::clone(&relay.feed), &params, upgrade)
}

/// Opens a websocket that reads a feed from the cursor in the query.
pub(crate) fn follow(feed: Arc<Feed>, params: &Params, upgrade: WebSocketUpgrade) -> Response {
    let cursor = match params.get("cursor").map(|cursor| cursor.parse()) {
        None => None,
        Some(Ok(cursor)) => Some(cursor),
        Some(Err(_)) => return invalid("cursor is not a whole number from 0 up"),
    };
    upgrade.on_upgrade(move |socket| reader::read(feed, socket, cursor))
}

async fn repo(State(relay): State<Arc<Relay>>, Query(params): Params) -> Response {
    let Some(did) = params.get("did").cloned() else {
        return invalid("did is missing");
    };
    let car = tokio::task::spawn_blocking(move || relay.network().repo_car(&did)).await;
    match car {
        Ok(Ok(car)) => ([(header::CONTENT_TYPE, "application/vnd.ipld.car")], car).into_response(),
        Ok(Err(error)) => failure(
            StatusCode::BAD_REQUEST,
            error_name(error),
            &error.to_string(),
        ),
        Err(error) => failure(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalServerError",
            &error.to_string(),
        ),
    }
}

async fn document(State(relay): State<Arc<Relay>>, Path(did): Path<String>) -> Response {
    match relay.network().did_document(&did) {
        Some(document) => (
            [(header::CONTENT_TYPE, "application/did+ld+json")],
            document,
        )
            .into_response(),
        None => {
            let message = format!("DID not registered: {did}");
            reply(StatusCode::NOT_FOUND, &json!({ "message": message }))
        }
    }
}

async fn health(State(relay): State<Arc<Relay>>) -> Response {
    let seq = relay.history().last_seq();
    let version = concat!("jetwash-sim ", env!("CARGO_PKG_VERSION"));
    reply(StatusCode::OK, &json!({ "version": version, "seq": seq }))
}

/// The names of the lexicon.
fn error_name(error: RepoError) -> &'static str {
    match error {
        RepoError::Inactive { status } => match status {
            Some("takendown") => "RepoTakendown",
            Some("suspended") => "RepoSuspended",
            Some("deleted") => "RepoNotFound",
            _ => "RepoDeactivated",
        },
        RepoError::NotFound => "RepoNotFound",
    }
}

fn invalid(message: &str) -> Response {
    failure(StatusCode::BAD_REQUEST, "InvalidRequest", message)
}

fn failure(status: StatusCode, error: &str, message: &str) -> Response {
    reply(status, &json!({ "error": error, "message": message }))
}

fn reply(status: StatusCode, body: &Value) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json")];
    (status, headers, body.to_string()).into_response()
}
