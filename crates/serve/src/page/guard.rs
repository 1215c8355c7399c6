use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, HOST, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};

use crate::http::headers::{has_one_host, host_refusal};
use crate::page::options::StatusPageOptions;

/// Refuses requests of other sites, and sets the headers that every answer has.
pub(crate) async fn guarded(
    State(options): State<Arc<StatusPageOptions>>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = if !has_one_host(&request) {
        host_refusal()
    } else if !is_ours(&request, &options.hosts) {
        let body = "the page is not served under this name: see StatusPageOptions::hosts\n";
        (StatusCode::MISDIRECTED_REQUEST, body).into_response()
    } else if is_foreign(request.headers()) {
        let body = "the page is not for pages of other sites\n";
        (StatusCode::FORBIDDEN, body).into_response()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The policy of the page: nothing but its own script and style, by their hashes, and its own data.
pub(crate) fn content_security_policy(html: &str) -> HeaderValue {
    static POLICY: OnceLock<HeaderValue> = OnceLock::new();
    let policy = POLICY.get_or_init(|| {
        let (script, style) = (hash_of(html, "script"), hash_of(html, "style"));
        let policy = format!(
            "default-src 'none'; script-src 'sha256-{script}'; style-src 'sha256-{style}'; \
             connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
             require-trusted-types-for 'script'; trusted-types 'none'"
        );
        // Base64 has nothing that a header may not have. Without a policy the page could do more
        // than it should, so it may rather do nothing.
        let nothing = HeaderValue::from_static("default-src 'none'");
        HeaderValue::try_from(policy).unwrap_or(nothing)
    });
    policy.clone()
}

/// The hash of an element's content (CSP level 3, section 2.3.1).
fn hash_of(html: &str, element: &str) -> String {
    let begin = html.split_once(&format!("<{element}>"));
    let content = begin.and_then(|(_, rest)| rest.split_once(&format!("</{element}>")));
    let content = content.map_or("", |(content, _)| content);
    BASE64_STANDARD.encode(Sha256::digest(content))
}

/// Whether the host that is asked for is an address, `localhost`, or one of the names.
fn is_ours(request: &Request, names: &[String]) -> bool {
    let host = request.headers().get(HOST).map(HeaderValue::as_bytes);
    let host = host.and_then(|host| Authority::try_from(host).ok());
    let Some(host) = host else {
        // Version 1.0 has no host, and no browser speaks it.
        return request.headers().get(HOST).is_none();
    };
    let name = host.host().trim_matches(['[', ']']).to_ascii_lowercase();
    name == "localhost" || name.parse::<IpAddr>().is_ok() || names.contains(&name)
}

/// Whether a browser says that a page of another site asks, for data or for a frame. A link may lead
/// here from anywhere.
fn is_foreign(headers: &HeaderMap) -> bool {
    let is = |name: &str, value: &str| headers.get(name).is_some_and(|found| found == value);
    let is_link = is("sec-fetch-mode", "navigate") && is("sec-fetch-dest", "document");
    let is_other = is("sec-fetch-site", "cross-site") || is("sec-fetch-site", "same-site");
    is_other && !is_link
}

/// Nothing is kept, guessed, framed or passed on.
const HEADERS: [(HeaderName, &str); 5] = [
    (CACHE_CONTROL, "no-store"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_what_stands_between_the_tags() {
        // As `printf abc | openssl dgst -sha256 -binary | base64` prints it.
        let html = "<style>x</style><script>abc</script>";
        let hash = hash_of(html, "script");
        assert_eq!(hash, "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
    }

    #[test]
    fn names_of_others_that_point_here_are_refused() {
        let names = ["status.example".to_owned()];
        let is_ours = |host: &str| {
            let request = Request::builder().header(HOST, host);
            let request = request.body(axum::body::Body::empty());
            is_ours(&request.expect("a request"), &names)
        };
        for host in [
            "localhost:6009",
            "127.0.0.1:6009",
            "[::1]:6009",
            "192.0.2.1",
            "Status.Example",
        ] {
            assert!(is_ours(host), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example:6009",
            "127.0.0.1.nip.io",
            "",
        ] {
            assert!(!is_ours(host), "{host}");
        }
    }
}
