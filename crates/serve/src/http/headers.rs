use axum::extract::Request;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW, HOST,
};
use axum::http::uri::Authority;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Version};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Whether a request names exactly one host, as HTTP/1.1 demands (RFC 9112, section 3.2).
pub(crate) fn has_one_host<B>(request: &Request<B>) -> bool {
    if request.version() != Version::HTTP_11 {
        return true;
    }
    let mut hosts = request.headers().get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.is_empty() || Authority::try_from(host.as_bytes()).is_ok(),
        _ => false,
    }
}

/// Answers a request that names no host, or two.
pub(crate) fn host_refusal() -> Response {
    let body = "a request has exactly one Host header\n";
    (StatusCode::BAD_REQUEST, body).into_response()
}

/// Checks the host, and lets pages of any origin read the answers: the events are public, too.
pub(crate) async fn public(request: Request, next: Next) -> Response {
    if !has_one_host(&request) {
        return host_refusal();
    }
    if request.method() == Method::OPTIONS {
        return preflight();
    }
    let mut response = next.run(request).await;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        let exposed = HeaderValue::from_static(EXPOSED);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }
    response
}

/// Tells a page of any origin what it may ask for.
fn preflight() -> Response {
    let headers = [
        (ALLOW, METHODS),
        (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (ACCESS_CONTROL_ALLOW_METHODS, METHODS),
        (ACCESS_CONTROL_ALLOW_HEADERS, "*"),
        (ACCESS_CONTROL_MAX_AGE, "86400"),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

/// The number of the dictionary in the body.
pub(crate) const DICTIONARY_ID: HeaderName = HeaderName::from_static("x-zstd-dictionary-id");

pub(crate) const METHODS: &str = "OPTIONS, GET";
/// The headers that a script may read besides the usual ones.
const EXPOSED: &str = "ETag, X-Zstd-Dictionary-Id";

#[cfg(test)]
mod tests {
    use axum::http::header::ETAG;

    use super::*;

    #[test]
    fn every_header_of_a_dictionary_is_exposed() {
        for name in [ETAG, DICTIONARY_ID] {
            assert!(EXPOSED.to_ascii_lowercase().contains(name.as_str()));
        }
    }
}
