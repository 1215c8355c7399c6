use axum::body::Body;
use axum::http::header::{ALLOW, CONTENT_TYPE, SEC_WEBSOCKET_VERSION};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::http::headers::METHODS;
use crate::http::xrpc::problem;
use crate::metrics::refused;

/// Why a request does not become a subscriber.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The method is not `GET`.
    Method,
    /// The request does not ask for a websocket.
    NoHandshake,
    /// The answer has ended before: a browser that comes back is to stay away.
    Ended,
    /// The server cannot give what is asked for; the text is the body of the answer.
    Text(StatusCode, String),
    /// The same in version 2: the name of the error, and its message.
    Xrpc(StatusCode, &'static str, String),
}

impl Refusal {
    pub(crate) fn bad_request(body: String) -> Self {
        Self::Text(StatusCode::BAD_REQUEST, body)
    }

    /// The refusal as version 2 has it.
    pub(crate) fn into_xrpc(self) -> Self {
        match self {
            Self::Text(status, message) => {
                let error = match status {
                    StatusCode::BAD_REQUEST => "InvalidRequest",
                    StatusCode::TOO_MANY_REQUESTS => "RateLimitExceeded",
                    _ => "ServiceUnavailable",
                };
                Self::Xrpc(status, error, message)
            }
            Self::NoHandshake => {
                let message = "this is a websocket, and the request is not a handshake";
                Self::Xrpc(
                    StatusCode::BAD_REQUEST,
                    "InvalidRequest",
                    message.to_owned(),
                )
            }
            other => other,
        }
    }

    /// Counts under `reason` that the server has no room.
    pub(crate) fn no_room(reason: &'static str, body: String) -> Self {
        refused(reason);
        Self::Text(StatusCode::SERVICE_UNAVAILABLE, body)
    }

    /// Counts under `reason` that an address takes all that it may.
    pub(crate) fn too_many(reason: &'static str, body: &str) -> Self {
        refused(reason);
        Self::Text(StatusCode::TOO_MANY_REQUESTS, body.to_owned())
    }
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
            Self::Ended => return StatusCode::NO_CONTENT.into_response(),
            // Jetstream answers these very bytes.
            Self::NoHandshake => (StatusCode::BAD_REQUEST, "Bad Request\n".to_owned(), true),
            Self::Text(status, body) => (status, body, false),
            Self::Xrpc(status, error, message) => return problem(status, error, message),
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
