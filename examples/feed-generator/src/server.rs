use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::index::Index;

/// Who serves the feed, and what it is called.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The host under which the apps' servers reach this one.
    pub hostname: String,
    /// The DID of the account that has published the feed.
    pub publisher: String,
    /// The record key of the feed.
    pub name: String,
}

impl Identity {
    /// The service's own DID.
    #[must_use]
    pub fn did(&self) -> String {
        format!("did:web:{}", self.hostname)
    }

    /// The address of the feed: that of the record which its publisher has to write.
    #[must_use]
    pub fn feed(&self) -> String {
        let Self {
            publisher, name, ..
        } = self;
        format!("at://{publisher}/app.bsky.feed.generator/{name}")
    }
}

/// The routes: the feed, what feeds there are, and the service's DID document.
///
/// Source: the lexicons `app.bsky.feed.getFeedSkeleton` and `describeFeedGenerator`, and the
/// specification of `did:web`.
pub fn router(index: Arc<Index>, identity: Identity) -> Router {
    Router::new()
        .route("/xrpc/app.bsky.feed.getFeedSkeleton", get(skeleton))
        .route("/xrpc/app.bsky.feed.describeFeedGenerator", get(describe))
        .route("/.well-known/did.json", get(did_document))
        .with_state((index, Arc::new(identity)))
}

type Shared = State<(Arc<Index>, Arc<Identity>)>;

async fn skeleton(
    State((index, identity)): Shared,
    Query(parameters): Query<HashMap<String, String>>,
) -> Response {
    let (limit, before) = match read(&parameters, &identity) {
        Ok(read) => read,
        Err((error, message)) => return refuse(StatusCode::BAD_REQUEST, error, &message),
    };
    let page = tokio::task::spawn_blocking(move || index.page(limit, before)).await;
    let Ok(Ok(page)) = page else {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        return refuse(status, "InternalServerError", "the index cannot be read");
    };
    let posts = page.posts.iter().map(|uri| json!({ "post": uri }));
    let mut body = json!({ "feed": posts.collect::<Value>() });
    if let Some(next) = page.next {
        body["cursor"] = next.to_string().into();
    }
    Json(body).into_response()
}

/// Limit and cursor of a question about our feed, or the name and the words of what is wrong.
fn read(
    parameters: &HashMap<String, String>,
    identity: &Identity,
) -> Result<(usize, Option<u64>), (&'static str, String)> {
    let invalid = |message: &str| ("InvalidRequest", message.to_owned());
    let feed = parameters.get("feed");
    let feed = feed.ok_or_else(|| invalid("feed is missing"))?;
    if *feed != identity.feed() {
        return Err(("UnknownFeed", format!("there is only {}", identity.feed())));
    }
    let limit = match parameters.get("limit").map(|limit| limit.parse()) {
        None => 50,
        Some(Ok(limit @ 1..=100)) => limit,
        Some(_) => return Err(invalid("limit must be a number from 1 to 100")),
    };
    let cursor = parameters.get("cursor").map(|cursor| cursor.parse());
    let cursor = cursor.transpose();
    let cursor = cursor.map_err(|_| invalid("cursor must be one that an earlier answer gave"))?;
    Ok((limit, cursor))
}

async fn describe(State((_, identity)): Shared) -> Json<Value> {
    Json(json!({ "did": identity.did(), "feeds": [{ "uri": identity.feed() }] }))
}

async fn did_document(State((_, identity)): Shared) -> Json<Value> {
    Json(json!({
        "@context": ["https://www.w3.org/ns/did/v1"],
        "id": identity.did(),
        "service": [{
            "id": "#bsky_fg",
            "type": "BskyFeedGenerator",
            "serviceEndpoint": format!("https://{}", identity.hostname),
        }],
    }))
}

fn refuse(status: StatusCode, error: &str, message: &str) -> Response {
    (status, Json(json!({ "error": error, "message": message }))).into_response()
}
