//! Before a connection is a websocket.

use jetwash_serve::ServeOptions;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::client::{Client, http};
use crate::log::{World, soon};

const HANDSHAKE: &str = "Host: x\r\nConnection: close, Upgrade\r\nUpgrade: websocket\r\n\
                         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: \
                         dGhlIHNhbXBsZSBub25jZQ==\r\n";

#[tokio::test]
async fn requests_that_are_no_handshake_get_the_answers_of_jetstream() {
    let world = World::with(0).await;
    let plain = "text/plain; charset=utf-8";
    let without = |header: &str| {
        let lines = HANDSHAKE.split_inclusive("\r\n");
        let rest: String = lines.filter(|line| !line.starts_with(header)).collect();
        format!("GET /subscribe HTTP/1.1\r\n{rest}")
    };
    let get = "GET /subscribe HTTP/1.1\r\n";
    let bad = (400, plain, "Bad Request\n");
    let rows = [
        (
            "no upgrade",
            format!("{get}Host: x\r\nConnection: close\r\n"),
            bad,
        ),
        (
            "no connection",
            without("Connection") + "Connection: close\r\n",
            bad,
        ),
        ("no upgrade header", without("Upgrade"), bad),
        ("no version", without("Sec-WebSocket-Version"), bad),
        (
            "version 8",
            without("Sec-WebSocket-Version") + "Sec-WebSocket-Version: 8\r\n",
            bad,
        ),
        ("no key", without("Sec-WebSocket-Key"), bad),
        (
            "short key",
            without("Sec-WebSocket-Key") + "Sec-WebSocket-Key: c2hvcnQ=\r\n",
            bad,
        ),
        // The parameters are read before the handshake is looked at.
        (
            "bad cursor, no upgrade",
            "GET /subscribe?cursor=x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n".to_owned(),
            (400, plain, "invalid cursor: x"),
        ),
        (
            "post",
            "POST /subscribe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n".to_owned(),
            (
                405,
                "application/json",
                r#"{"message":"Method Not Allowed"}"#,
            ),
        ),
        (
            "head",
            "HEAD /subscribe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n".to_owned(),
            (405, "application/json", ""),
        ),
    ];
    for (name, request, (status, content_type, body)) in rows {
        let (head, found) = http(world.address, &format!("{request}\r\n")).await;
        let status = format!("http/1.1 {status} ");
        assert!(head.starts_with(&status), "{name}: {head}");
        let content_type = format!("content-type: {content_type}");
        assert!(head.contains(&content_type), "{name}: {head}");
        assert_eq!(found, body, "{name}");
        assert_eq!(
            head.contains("sec-websocket-version: 13"),
            body == "Bad Request\n",
            "{name}: {head}"
        );
    }
}

#[tokio::test]
async fn the_first_page_says_what_this_is() {
    let world = World::with(0).await;
    let request = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let (head, body) = http(world.address, request).await;
    assert!(head.starts_with("http/1.1 200 "), "{head}");
    assert!(
        head.contains("content-type: text/plain; charset=utf-8"),
        "{head}"
    );
    assert!(body.starts_with("Welcome to Jetstream"), "{body}");
}

#[tokio::test]
async fn the_upgrade_is_that_of_the_standard_for_any_origin_and_offers_nothing() {
    let world = World::with(0).await;
    let request = format!(
        "GET /subscribe HTTP/1.1\r\n{HANDSHAKE}Origin: https://elsewhere.example\r\n\
         Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
    );
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut buffer = vec![0; 4096];
    soon(stream.readable()).await.unwrap();
    let count = stream.try_read(&mut buffer).unwrap();
    let head = String::from_utf8(buffer[..count].to_vec()).unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let head = head.to_ascii_lowercase();
    assert!(head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="));
    assert!(!head.contains("sec-websocket-protocol"), "{head}");
    assert!(!head.contains("sec-websocket-extensions"), "{head}");
}

/// The HTTP library takes no longer addresses. Who wants more accounts sends them afterwards.
#[tokio::test]
async fn a_query_beyond_64_kib_is_refused() {
    let world = World::with(0).await;
    let get = |length: usize| {
        let long = "a".repeat(length);
        format!("GET /subscribe?x={long} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    };
    let (head, _) = http(world.address, &get(66_000)).await;
    assert!(head.starts_with("http/1.1 414 "), "{head}");
    let (head, _) = http(world.address, &get(65_000)).await;
    assert!(head.starts_with("http/1.1 400 "), "{head}");
}

#[tokio::test]
async fn a_server_that_closes_takes_no_more_subscribers() {
    let world = World::start(ServeOptions::default(), None).await;
    world.server.close(std::time::Duration::ZERO).await;
    let Err(refusal) = Client::try_connect(world.address, "", &[]).await else {
        panic!("accepted");
    };
    assert_eq!(
        (refusal.status, &*refusal.body),
        (503, "server shutting down")
    );
}

#[tokio::test]
async fn an_address_gets_so_many_connections_and_another_when_one_has_ended() {
    let options = ServeOptions::default().max_connections_per_address(2);
    let world = World::start(options, None).await;
    let first = world.subscribe("").await;
    let _second = world.subscribe("").await;
    let Err(refusal) = Client::try_connect(world.address, "", &[]).await else {
        panic!("accepted");
    };
    let reason = "too many connections from this address";
    assert_eq!((refusal.status, &*refusal.body), (429, reason));
    assert_eq!(first.close().await.0, 1000);
    let fewer = async {
        while world.server.subscribers() > 1 {
            tokio::task::yield_now().await;
        }
    };
    soon(fewer).await;
    world.subscribe("").await;
}
