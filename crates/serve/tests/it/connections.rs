//! Limits for connections, from the moment that they are accepted.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use jetwash::Jetstream;
use jetwash_serve::{HttpLimits, ServeOptions, Server, serve_http};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::client::{Client, Raw, http};
use crate::log::{World, lines, soon};

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
const SHORT: Duration = Duration::from_millis(300);

#[tokio::test]
async fn three_hundred_half_requests_are_gone_after_the_limit() {
    let world = World::start(limited(HttpLimits::default().head_timeout(SHORT)), None).await;
    let mut reader = world.subscribe("").await;
    let mut halves = Vec::new();
    for _ in 0..300 {
        let mut half = connect(world.address).await;
        half.write_all(b"GET /subscribe HTTP/1.1\r\nHost: ")
            .await
            .unwrap();
        halves.push(half);
    }
    for half in halves {
        assert_is_late(&rest(half).await);
    }
    // A subscriber has no such limits.
    world.push(3).await;
    let expected = lines(&world.log());
    assert_eq!(reader.texts(expected.len()).await, expected);
}

#[tokio::test]
async fn a_head_that_comes_drop_by_drop_is_cut_off() {
    let address = serve(HttpLimits::default().head_timeout(SHORT)).await;
    let mut slow = connect(address).await;
    let drops = async {
        let mut tick = tokio::time::interval(SHORT / 10);
        loop {
            tick.tick().await;
            if slow.write_all(b"G").await.is_err() {
                return;
            }
        }
    };
    soon(drops).await;
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    let address = serve(HttpLimits::default().head_timeout(SHORT)).await;
    assert_eq!(rest(connect(address).await).await, "");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let address = serve(HttpLimits::default().request_timeout(SHORT)).await;
    let mut slow = connect(address).await;
    slow.write_all(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
        .await
        .unwrap();
    assert_is_late(&rest(slow).await);
}

/// The answer to the first would otherwise be taken for that to the second.
#[tokio::test]
async fn the_second_half_request_of_a_connection_is_told_apart_from_the_first() {
    let address = serve(HttpLimits::default().head_timeout(SHORT)).await;
    let mut client = connect(address).await;
    let half = "GET /healthz HTTP/1.1\r\n";
    let whole = format!("{half}Host: x\r\n\r\n");
    client.write_all(whole.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\nok\n") {
        assert!(soon(client.read_buf(&mut answer)).await.unwrap() > 0);
    }
    client.write_all(half.as_bytes()).await.unwrap();
    assert_is_late(&rest(client).await);
}

#[tokio::test]
async fn an_answer_that_is_not_taken_is_not_kept() {
    let address = serve(HttpLimits::default().request_timeout(SHORT)).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8 * 1024).unwrap();
    let mut client = soon(socket.connect(address)).await.unwrap();
    let request = "GET /large HTTP/1.1\r\nHost: x\r\n\r\n";
    client.write_all(request.as_bytes()).await.unwrap();
    // A second request is never read, and the server's end is seen by that.
    let more = async { while client.write_all(HEALTH.as_bytes()).await.is_ok() {} };
    soon(more).await;
}

#[tokio::test]
async fn a_connection_may_be_used_again_until_it_has_been_idle_for_too_long() {
    let limits = HttpLimits::default().idle_timeout(SHORT);
    let address = serve(limits.head_timeout(SHORT * 10)).await;
    let mut client = connect(address).await;
    for _ in 0..3 {
        client
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\nok\n") {
            assert!(soon(client.read_buf(&mut answer)).await.unwrap() > 0);
        }
    }
    assert_eq!(rest(client).await, "");
}

#[tokio::test]
async fn above_the_limit_connections_get_503_and_below_it_they_are_served_again() {
    let address = serve(HttpLimits::default().max_connections(2)).await;
    let first = connect(address).await;
    let _second = connect(address).await;
    let (head, body) = http(address, HEALTH).await;
    assert!(head.starts_with("http/1.1 503 "), "{head}");
    assert_eq!(body, "too many connections");
    drop(first);
    let served = async {
        while !http(address, HEALTH).await.0.starts_with("http/1.1 200 ") {
            tokio::task::yield_now().await;
        }
    };
    soon(served).await;
}

#[tokio::test]
async fn an_address_cannot_have_all_connections() {
    let limits = HttpLimits::default().max_connections_per_address(3);
    let address = serve(limits).await;
    let mut silent = Vec::new();
    for _ in 0..3 {
        silent.push(connect(address).await);
    }
    let (head, body) = http(address, HEALTH).await;
    assert!(head.starts_with("http/1.1 429 "), "{head}");
    assert_eq!(body, "too many connections from this address");
    // All of 127/8 is this machine.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut other = soon(socket.connect(address)).await.unwrap();
    other.write_all(HEALTH.as_bytes()).await.unwrap();
    assert!(rest(other).await.ends_with("\r\n\r\nok\n"));
}

#[tokio::test]
async fn eleven_hundred_silent_connections_stop_neither_a_reader_nor_the_log_nor_healthz() {
    jetwash_serve::raise_file_limit().unwrap();
    let limits = HttpLimits::default().max_connections(500);
    let world = World::start(limited(limits), None).await;
    let health = serve(HttpLimits::default().max_connections(16)).await;
    let mut reader = world.subscribe("").await;
    let mut silent = Vec::new();
    for _ in 0..1100 {
        silent.push(connect(world.address).await);
    }
    world.push(20).await;
    let expected = lines(&world.log());
    assert_eq!(reader.texts(expected.len()).await, expected);
    assert_eq!(http(health, HEALTH).await.1, "ok\n");
    // Only these are told at a time that there are too many; others are closed without an answer.
    let told = async {
        loop {
            let mut late = connect(world.address).await;
            let _ = late.write_all(HEALTH.as_bytes()).await;
            if rest(late).await.starts_with("HTTP/1.1 503 ") {
                return;
            }
        }
    };
    soon(told).await;
}

/// A connection counts for as long as it is open, whatever it has become.
#[tokio::test]
async fn a_subscriber_goes_on_to_count_until_it_leaves() {
    let world = World::start(limited(HttpLimits::default().max_connections(1)), None).await;
    let first = world.subscribe("").await;
    assert!(Client::try_connect(world.address, "", &[]).await.is_err());
    first.close().await;
    let again = async {
        while Client::try_connect(world.address, "", &[]).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    soon(again).await;
}

#[tokio::test]
async fn a_request_has_exactly_one_host() {
    let world = World::with(0).await;
    let health = serve(HttpLimits::default()).await;
    for (hosts, status) in [
        ("", "400"),
        ("Host: a\r\nHost: a\r\n", "400"),
        ("Host: a b\r\n", "400"),
        ("Host: a.example:6008\r\n", "200"),
        ("Host: [::1]:6008\r\n", "200"),
        ("Host:\r\n", "200"),
    ] {
        for (address, path) in [(world.address, "/"), (health, "/healthz")] {
            let request = format!("GET {path} HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n");
            let (head, _) = http(address, &request).await;
            let expected = format!("http/1.1 {status} ");
            assert!(head.starts_with(&expected), "{hosts}: {head}");
        }
    }
    let (head, _) = http(health, "GET /healthz HTTP/1.0\r\n\r\n").await;
    assert!(head.starts_with("http/1.0 200 "), "{head}");
}

#[tokio::test]
async fn a_page_of_any_origin_may_ask_and_read_the_answer_with_its_headers() {
    let world = World::with(0).await;
    let dictionary = "/xrpc/network.bsky.jetstream.getZstdDictionary";
    for path in ["/subscribe", dictionary] {
        let request = format!(
            "OPTIONS {path} HTTP/1.1\r\nHost: x\r\nOrigin: https://a.example\r\n\
             Access-Control-Request-Method: GET\r\n\
             Access-Control-Request-Headers: if-none-match\r\nConnection: close\r\n\r\n"
        );
        let (head, body) = http(world.address, &request).await;
        assert!(head.starts_with("http/1.1 204 "), "{head}");
        assert!(
            head.contains("access-control-allow-origin: *\r\n"),
            "{head}"
        );
        assert!(head.contains("access-control-allow-methods: options, get\r\n"));
        assert!(
            head.contains("access-control-allow-headers: *\r\n"),
            "{head}"
        );
        assert_eq!(body, "");
    }
    let request = format!("GET {dictionary} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let (head, _) = http(world.address, &request).await;
    assert!(
        head.contains("access-control-allow-origin: *\r\n"),
        "{head}"
    );
    let exposed = "access-control-expose-headers: etag, x-zstd-dictionary-id\r\n";
    assert!(head.contains(exposed), "{head}");
}

#[tokio::test]
async fn an_application_with_a_first_page_of_its_own_can_mount_the_router() {
    let (jetstream, _ingest) = Jetstream::builder().build().unwrap();
    let server = Server::new(jetstream, ServeOptions::default());
    let own = Router::new().route("/", get(|| async { "my own page" }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = own.merge(server.router());
    tokio::spawn(serve_http(
        listener,
        app,
        HttpLimits::default(),
        std::future::pending(),
    ));
    let request = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    assert_eq!(http(address, request).await.1, "my own page");
    let mut client = Raw::subscribe(address, "").await;
    client.send(0x89, b"").await;
    assert_eq!(client.frame().await, Some((0x8a, Vec::new())));
}

#[tokio::test]
async fn a_server_that_stops_answers_what_it_has_begun_and_waits_for_nothing_else() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let (begun, mut has_begun) = tokio::sync::mpsc::channel::<()>(1);
    let (go, gone) = tokio::sync::watch::channel(false);
    let wait = get(move || {
        let (begun, mut gone) = (begun.clone(), gone.clone());
        async move {
            begun.send(()).await.unwrap();
            gone.wait_for(|gone| *gone).await.unwrap();
            "done"
        }
    });
    let router = Router::new().route("/wait", wait);
    let serving = tokio::spawn(serve_http(listener, router, HttpLimits::default(), async {
        drop(stopped.await);
    }));
    let mut silent = connect(address).await;
    let mut waiting = connect(address).await;
    waiting
        .write_all(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    soon(has_begun.recv()).await.unwrap();
    drop(stop);
    let mut nothing = Vec::new();
    soon(silent.read_to_end(&mut nothing)).await.unwrap();
    go.send(true).unwrap();
    assert!(rest(waiting).await.ends_with("\r\n\r\ndone"));
    soon(serving).await.unwrap().unwrap();
}

/// Expects to be told that the request is late, and the end of the connection.
fn assert_is_late(answer: &str) {
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer:?}");
    assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
}

fn limited(limits: HttpLimits) -> ServeOptions {
    ServeOptions::default().http(limits)
}

/// Serves a router that is no Jetstream's.
async fn serve(limits: HttpLimits) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/large", get(|| async { vec![b'x'; 10 << 20] }))
        .route("/echo", post(|body: String| async { body }));
    tokio::spawn(serve_http(listener, router, limits, std::future::pending()));
    address
}

async fn connect(address: SocketAddr) -> TcpStream {
    soon(TcpStream::connect(address)).await.unwrap()
}

/// All that still comes, until the server closes or resets the connection.
async fn rest(mut stream: TcpStream) -> String {
    let mut rest = Vec::new();
    let _ = soon(stream.read_to_end(&mut rest)).await;
    String::from_utf8(rest).unwrap()
}
