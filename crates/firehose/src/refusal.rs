use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, UPGRADE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

/// Why a request does not become a reader.
///
/// The answers are those of XRPC: `error` and `message` as JSON. Source: the HTTP API
/// specification, "Error responses", and the event stream specification for the status codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It is not a GET.
    Method,
    /// It is not the handshake of a websocket.
    Handshake,
    /// Its cursor is not a number.
    Cursor,
    /// There are too many readers.
    Total,
    /// There are too many readers from its address.
    Address,
    /// There will be no more readers.
    Stopping,
    /// The source knows no number yet that its cursor can be compared with.
    Empty,
}

impl Refusal {
    /// A short name for a counter's label.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::Handshake => "handshake",
            Self::Cursor => "cursor",
            Self::Total => "total",
            Self::Address => "address",
            Self::Stopping => "stopping",
            Self::Empty => "empty",
        }
    }

    const fn answer(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Method => (
                StatusCode::METHOD_NOT_ALLOWED,
                "InvalidRequest",
                "the method must be GET",
            ),
            Self::Handshake => (
                StatusCode::UPGRADE_REQUIRED,
                "InvalidRequest",
                "this is a websocket: the request must ask for an upgrade to version 13",
            ),
            Self::Cursor => (
                StatusCode::BAD_REQUEST,
                "InvalidRequest",
                "cursor must be one whole number from 0 up to 18446744073709551615",
            ),
            Self::Total => (
                StatusCode::SERVICE_UNAVAILABLE,
                "NotEnoughResources",
                "there are too many readers",
            ),
            Self::Address => (
                StatusCode::TOO_MANY_REQUESTS,
                "RateLimitExceeded",
                "there are too many readers from this address",
            ),
            Self::Stopping => (
                StatusCode::SERVICE_UNAVAILABLE,
                "NotEnoughResources",
                "the server is shutting down",
            ),
            Self::Empty => (
                StatusCode::SERVICE_UNAVAILABLE,
                "NotEnoughResources",
                "there are no frames yet to compare the cursor with",
            ),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, error, message) = self.answer();
        let body = format!(r#"{{"error":"{error}","message":"{message}"}}"#);
        let mut response = (status, [(CONTENT_TYPE, "application/json")], body).into_response();
        let headers = response.headers_mut();
        match self {
            Self::Handshake => {
                headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
            }
            Self::Total | Self::Address | Self::Stopping | Self::Empty => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("10"));
            }
            Self::Method | Self::Cursor => {}
        }
        response
    }
}
