use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

/// Returns an error in the form of XRPC.
pub(crate) fn problem(status: StatusCode, error: &str, message: String) -> Response {
    let body = serde_json::json!({"error": error, "message": message});
    (
        status,
        [(CONTENT_TYPE, "application/json")],
        body.to_string(),
    )
        .into_response()
}
