//! Clients of events over plain HTTP that are slow, go away, or are older, and the end of the server.

use std::time::Duration;

use jetwash::Jetstream;
use jetwash_serve::{HttpLimits, ServeOptions, Server};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket};

use crate::answer::{Answer, SSE, Source, refusal};
use crate::client::{Client, http};
use crate::log::{World, lines, soon};

const SHORT: Duration = Duration::from_millis(100);

#[tokio::test]
async fn an_answer_takes_longer_than_other_requests_may() {
    let limits = HttpLimits::default()
        .request_timeout(SHORT)
        .idle_timeout(Duration::from_secs(5));
    let world = World::start(ServeOptions::default().http(limits), None).await;
    let mut answer = Answer::get(world.address, "/events?limit=2", "").await;
    tokio::time::sleep(3 * SHORT).await;
    world.push(1).await;
    answer.line().await.unwrap();
    tokio::time::sleep(3 * SHORT).await;
    world.push(3).await;
    answer.line().await.unwrap();
    assert_eq!(answer.rest().await, (String::new(), true));
}

#[tokio::test]
async fn a_client_that_stops_reading_disturbs_nobody_and_loses_nothing() {
    let world = World::start_narrow(ServeOptions::default()).await;
    let mut slow = Vec::new();
    for headers in ["", SSE] {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(8 * 1024).unwrap();
        slow.push(Answer::get_on(socket, world.address, "/events?cursor=0", headers).await);
    }
    let mut other = Answer::get(world.address, "/events?cursor=0", "").await;
    for _ in 0..20 {
        world.push(100).await;
    }
    let log = lines(&world.log());
    assert!(log.concat().len() > 500_000);
    assert_eq!(other.lines(log.len()).await, log);
    assert_eq!(world.server.subscribers(), 3);
    assert_eq!(slow[0].lines(log.len()).await, log);
    let mut source = Source::default();
    while source.messages().len() < log.len() {
        for _ in 0..100.min(log.len() - source.messages().len()) {
            source.feed(slow[1].block().await.unwrap().as_bytes());
        }
    }
    assert_eq!(source.messages(), log);
}

#[tokio::test]
async fn a_client_that_takes_nothing_for_too_long_is_reset() {
    let options = ServeOptions::default().write_timeout(3 * SHORT);
    let world = World::start_narrow(options).await;
    world.push(2000).await;
    for target in [
        "/events?cursor=0",
        "/events?cursor=0&until=live",
        "/v2/events?cursor=1",
    ] {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(8 * 1024).unwrap();
        let mut slow = Answer::get_on(socket, world.address, target, "").await;
        let gone = async {
            while world.server.subscribers() > 0 {
                tokio::time::sleep(SHORT / 10).await;
            }
        };
        soon(gone).await;
        let (body, is_whole) = slow.rest().await;
        assert!(!is_whole, "{target}");
        assert!(body.len() < 200_000, "{}", body.len());
    }
}

#[tokio::test]
async fn a_client_that_goes_away_is_gone() {
    let world = World::with(10).await;
    for headers in ["", SSE] {
        let mut answer = Answer::get(world.address, "/events?cursor=0", headers).await;
        answer.line().await.unwrap();
        assert_eq!(world.server.subscribers(), 1);
        drop(answer);
        let gone = async {
            while world.server.subscribers() > 0 {
                tokio::time::sleep(SHORT / 10).await;
            }
        };
        soon(gone).await;
    }
}

#[tokio::test]
async fn answers_count_among_the_subscribers_of_an_address() {
    let options = ServeOptions::default().max_connections_per_address(2);
    let world = World::start(options, None).await;
    let first = Answer::get(world.address, "/events", "").await;
    let _second = world.subscribe("").await;
    for route in ["/events", "/v2/events"] {
        let message = "too many connections from this address";
        let expected = json!({"error": "RateLimitExceeded", "message": message});
        assert_eq!(refusal(world.address, route, SSE).await, (429, expected));
    }
    assert!(Client::try_connect(world.address, "", &[]).await.is_err());
    drop(first);
    let again = async {
        while Answer::get(world.address, "/events?limit=1", "")
            .await
            .status()
            != 200
        {
            tokio::time::sleep(SHORT / 10).await;
        }
    };
    soon(again).await;
}

/// Clients can distinguish a whole answer from one that is cut off.
#[tokio::test]
async fn the_end_of_the_server_ends_answers_and_cuts_off_those_that_promised_more() {
    let mut world = World::with(10).await;
    let count = world.log().len();
    let mut open = Answer::get(world.address, "/events?cursor=0", "").await;
    let mut bounded = Answer::get(world.address, "/events?cursor=0&limit=1000", "").await;
    let mut sse = Answer::get(world.address, "/events?cursor=0&limit=1000", SSE).await;
    for answer in [&mut open, &mut bounded] {
        answer.lines(count).await;
    }
    let mut source = Source::default();
    while source.messages().len() < count {
        source.feed(sse.block().await.unwrap().as_bytes());
    }
    world.stop();
    assert_eq!(open.rest().await, (String::new(), true));
    assert_eq!(bounded.rest().await, (String::new(), false));
    let (body, is_whole) = sse.rest().await;
    source.feed(body.as_bytes());
    let (kind, end) = source.events.last().unwrap();
    let expected =
        json!({"kind": "end", "reason": "shutting_down", "message": "server shutting down"});
    assert_eq!(
        (&**kind, serde_json::from_str::<Value>(end).unwrap()),
        ("end", expected)
    );
    assert!(is_whole);
    world.ended().await;
}

/// Proxies speak the older HTTP, and others mount the router.
#[tokio::test]
async fn other_applications_and_older_clients_get_the_same() {
    let (jetstream, ingest) = Jetstream::builder().build().unwrap();
    tokio::spawn(ingest.run(std::future::pending()));
    let server = Server::new(jetstream.clone(), ServeOptions::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = server.router();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let mut answer = Answer::get(address, "/events?cursor=0&limit=20", "").await;
    for frame in crate::log::network().take(40) {
        jetstream.pusher("test").push(frame.bytes).await.unwrap();
    }
    let found = answer.lines(20).await;
    assert_eq!(answer.rest().await, (String::new(), true));
    let (head, body) = http(address, "GET /events?cursor=0&limit=20 HTTP/1.0\r\n\r\n").await;
    assert!(head.starts_with("http/1.0 200 "), "{head}");
    assert_eq!(body.lines().collect::<Vec<_>>(), found);
}

#[tokio::test]
async fn bytes_that_a_client_sends_meanwhile_are_left_alone() {
    let world = World::with(50).await;
    let log = lines(&world.log());
    let mut stream = tokio::net::TcpStream::connect(world.address).await.unwrap();
    let two = "GET /events?cursor=0&limit=5 HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2);
    stream
        .write_all(&two.as_bytes()[..two.len() / 2])
        .await
        .unwrap();
    stream
        .write_all(&two.as_bytes()[two.len() / 2..])
        .await
        .unwrap();
    let mut text = Vec::new();
    let both = async {
        loop {
            tokio::io::AsyncReadExt::read_buf(&mut stream, &mut text)
                .await
                .unwrap();
            if String::from_utf8_lossy(&text)
                .matches("\r\n0\r\n\r\n")
                .count()
                == 2
            {
                return;
            }
        }
    };
    soon(both).await;
    let text = String::from_utf8(text).unwrap();
    for line in &log[..5] {
        assert_eq!(text.matches(line.as_str()).count(), 2);
    }
}
