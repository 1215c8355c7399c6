//! Hosts that send anything but what they should.

use std::time::{Duration, Instant};

use jetwash_identity::{DocumentError, FetchError, ResolveError};

use crate::server::{Reply, Server, ok, response};
use crate::{document_at, options, plc};

/// The outcome of a look-up with a directory that answers so.
async fn outcome(reply: impl Fn(&str) -> Reply + Send + Sync + 'static) -> ResolveError {
    let server = Server::start(move |path, _| reply(path)).await;
    let options = options(&server).request_limit(Duration::from_millis(400));
    let identities = options.start().unwrap();
    let begun = Instant::now();
    let error = identities.resolve(&plc(1)).await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(15), "{error}");
    error
}

/// The error of a look-up that the host spoilt.
async fn fetch_error(reply: impl Fn(&str) -> Reply + Send + Sync + 'static) -> FetchError {
    match outcome(reply).await {
        ResolveError::Host { error, .. } => error,
        error => panic!("{error}"),
    }
}

const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

#[tokio::test]
async fn a_body_without_end_is_cut_off() {
    let head = b"HTTP/1.1 200 OK\r\n\r\n";
    let endless = |_: &str| Reply::Endless(head.to_vec(), vec![b' '; 1000]);
    assert_eq!(fetch_error(endless).await, FetchError::TooLong);
    let chunks = |_: &str| Reply::Endless(CHUNKED.to_vec(), b"4\r\n    \r\n".to_vec());
    assert_eq!(fetch_error(chunks).await, FetchError::TooLong);
}

#[tokio::test]
async fn a_body_that_is_announced_as_too_long_is_not_read() {
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 65537\r\n\r\n";
    let announced = |_: &str| Reply::Drip(head.to_vec(), b' ');
    assert_eq!(fetch_error(announced).await, FetchError::TooLong);
}

#[tokio::test]
async fn an_answer_that_comes_byte_by_byte_is_given_up() {
    let head = b"HTTP/1.1 200 OK\r\n\r\n{";
    let body = |_: &str| Reply::Drip(head.to_vec(), b' ');
    assert_eq!(fetch_error(body).await, FetchError::Timeout);
    let status = |_: &str| Reply::Drip(b"HTTP/1.1 2".to_vec(), b'0');
    let error = fetch_error(status).await;
    assert!(matches!(error, FetchError::Timeout | FetchError::Protocol));
    let header = |_: &str| Reply::Drip(b"HTTP/1.1 200 OK\r\nX: ".to_vec(), b'x');
    assert_eq!(fetch_error(header).await, FetchError::Timeout);
    assert_eq!(fetch_error(|_| Reply::Silent).await, FetchError::Timeout);
}

#[tokio::test]
async fn headers_without_bounds_are_refused() {
    let head = b"HTTP/1.1 200 OK\r\nX: ";
    let long = |_: &str| Reply::Endless(head.to_vec(), vec![b'x'; 1000]);
    assert_eq!(fetch_error(long).await, FetchError::Protocol);
    let many = |_: &str| Reply::Send(response(200, &"X: y\r\n".repeat(100), "{}"));
    assert_eq!(fetch_error(many).await, FetchError::Protocol);
    let trailers = b"0\r\n";
    let trailing = |_: &str| Reply::Endless([CHUNKED, trailers].concat(), b"X: y\r\n".to_vec());
    assert_eq!(fetch_error(trailing).await, FetchError::Protocol);
}

#[tokio::test]
async fn a_connection_that_ends_too_soon_is_an_error() {
    let half = |path: &str| {
        let whole = response(200, "", &document_at(path, "a"));
        Reply::Close(whole[..whole.len() - 5].to_vec())
    };
    assert_eq!(fetch_error(half).await, FetchError::Protocol);
    for part in [&b""[..], b"HTTP/1.1 200 OK\r\n", b"HT", CHUNKED] {
        let early = move |_: &str| Reply::Close(part.to_vec());
        assert_eq!(fetch_error(early).await, FetchError::Protocol);
    }
}

#[tokio::test]
async fn what_is_not_http_is_an_error() {
    for text in [
        &b"SSH-2.0-OpenSSH_9\r\n"[..],
        b"\0\0\0\0\0\0\0\0",
        b"HTTP/1.1 999999 X\r\n\r\n",
    ] {
        let other = move |_: &str| Reply::Close(text.to_vec());
        assert_eq!(fetch_error(other).await, FetchError::Protocol);
    }
    let both = "Transfer-Encoding: chunked\r\n";
    let smuggled = move |_: &str| Reply::Close(response(200, both, "zz\r\n"));
    assert_eq!(fetch_error(smuggled).await, FetchError::Protocol);
}

#[tokio::test]
async fn a_redirect_that_goes_round_or_on_and_on_is_given_up() {
    let location = |to: &str| Reply::Send(response(302, &format!("Location: {to}\r\n"), ""));
    let server = Server::start(move |path, number| match path {
        "/a" => location("/b"),
        "/b" => location("/a"),
        _ if path.starts_with("/next") => location(&format!("/next{number}")),
        _ => location("/a"),
    })
    .await;
    for (path, requests) in [("", 4), ("/next", 8)] {
        let directories = [format!("{}{path}", server.url())];
        let options = options(&server).directories(directories);
        let identities = options.start().unwrap();
        let error = identities.resolve(&plc(1)).await.unwrap_err();
        let redirect = FetchError::Redirect;
        assert!(matches!(error, ResolveError::Host { error, .. } if error == redirect));
        assert_eq!(server.count(), requests);
    }
}

#[tokio::test]
async fn a_redirect_to_what_is_not_a_page_is_refused() {
    for to in [
        "",
        "Location: \r\n",
        "Location: file:///etc/passwd\r\n",
        "Location: gopher://a.test/\r\n",
        "Location: http://user:password@a.test/\r\n",
        "Location: http://\r\n",
        "Location: http://[::1\r\n",
    ] {
        let redirect = move |_: &str| Reply::Send(response(307, to, ""));
        assert_eq!(fetch_error(redirect).await, FetchError::Redirect, "{to}");
    }
}

#[tokio::test]
async fn a_redirect_never_leads_to_a_private_address() {
    let inside = Server::start(|path, _| ok(&document_at(path, "a"))).await;
    let port = inside.address.port();
    for host in [
        "127.0.0.1",
        "[::ffff:127.0.0.1]",
        "2130706433",
        "localhost",
        "0x7f.1",
        "0.0.0.0",
    ] {
        let redirect = move |path: &str| {
            let location = format!("Location: http://{host}:{port}{path}\r\n");
            Reply::Send(response(301, &location, ""))
        };
        let error = fetch_error(redirect).await;
        assert_eq!(error, FetchError::PrivateAddress, "{host}");
    }
    assert_eq!(inside.count(), 0);
}

#[tokio::test]
async fn a_document_that_nests_without_bounds_is_refused() {
    let deep = |_: &str| ok(&format!("{{\"id\":{}", "[".repeat(60_000)));
    let error = outcome(deep).await;
    let too_deep = DocumentError::TooDeep;
    assert!(matches!(error, ResolveError::Document { error, .. } if error == too_deep));
}

#[tokio::test]
async fn a_document_about_another_did_is_refused() {
    let other = |_: &str| ok(&document_at(plc(2).as_ref(), "a"));
    let error = outcome(other).await;
    let found = plc(2).to_string();
    let expected = DocumentError::Id { found };
    assert!(matches!(error, ResolveError::Document { error, .. } if error == expected));
}

#[tokio::test]
async fn statuses_that_say_nothing_about_the_did_are_transient() {
    for status in [204, 206, 304, 400, 401, 403, 418, 500, 502, 503, 504, 599] {
        let reply = move |_: &str| Reply::Send(response(status, "", ""));
        assert_eq!(fetch_error(reply).await, FetchError::Status(status));
    }
}
