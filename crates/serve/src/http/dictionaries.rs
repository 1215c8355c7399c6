use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH,
};
use axum::response::{IntoResponse, Response};
use jetwash::Dictionary;
use serde::Deserialize;

use crate::form::dictionaries::Dictionaries;
use crate::form::format::Shape;
use crate::http::headers::DICTIONARY_ID;
use crate::http::xrpc::problem;

/// The route `network.bsky.jetstream.getZstdDictionary`: returns the dictionary in use for messages
/// of version 2, with `format` the one for lines or binary events, or with `id` any that is in use
/// or that the log's events need.
pub(crate) async fn get_zstd_dictionary(
    State(dictionaries): State<Dictionaries>,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
) -> Response {
    // The route is one of version 2, so that is what clients mean who say nothing.
    let shape = match parameters.format.as_deref() {
        Some("binary") => Shape::Binary,
        Some("v1" | "v0") => Shape::V1,
        _ => Shape::V2,
    };
    let dictionary = match parameters.id.as_deref() {
        None => dictionaries
            .in_use(shape)
            .ok_or_else(|| not_found("this server compresses without a dictionary".to_owned())),
        Some(text) => match text.parse::<u32>() {
            Ok(id @ 1..) => dictionaries.with_id(id).ok_or_else(|| {
                let current = dictionaries.in_use(shape).map(|dictionary| dictionary.id());
                let current = current.map_or_else(|| "none".to_owned(), |id| id.to_string());
                not_found(format!(
                    "no dictionary {id} here; the one in use is {current}"
                ))
            }),
            _ => Err(problem(
                StatusCode::BAD_REQUEST,
                "InvalidRequest",
                format!(
                    "id {text:?}: it must be a whole number from 1 to {}",
                    u32::MAX
                ),
            )),
        },
    };
    match dictionary {
        Ok(dictionary) => answer(&dictionary, parameters.id.is_some(), &headers),
        Err(problem) => problem,
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct Parameters {
    id: Option<String>,
    format: Option<String>,
}

fn answer(dictionary: &Dictionary, is_named: bool, request: &HeaderMap) -> Response {
    let id = dictionary.id();
    let tag = format!("\"zstd-dict-{id}\"");
    // What an id names never changes. What is in use may, so a cache has to ask each time.
    let caching = if is_named {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let mut headers = HeaderMap::new();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(caching));
    headers.insert(DICTIONARY_ID, HeaderValue::from(id));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(ETAG, tag);
    }
    let known = request
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let mut known = known.flat_map(|value| value.split(',')).map(str::trim);
    if known.any(|known| known == "*" || known.trim_start_matches("W/") == tag) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    // All answers share the one copy in memory.
    let body = Bytes::from_owner(Shared(dictionary.clone()));
    (headers, Body::from(body)).into_response()
}

/// Lends a dictionary's bytes to the body of an answer.
struct Shared(Dictionary);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        self.0.bytes()
    }
}

fn not_found(message: String) -> Response {
    problem(StatusCode::NOT_FOUND, "DictionaryNotFound", message)
}
