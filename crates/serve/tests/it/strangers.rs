//! Subscribers that ask for more than their part get no more than that, and hold up nobody.

use std::time::Duration;

use jetwash_serve::ServeOptions;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::Message;

use crate::client::{Client, Raw, http};
use crate::liveness::gone;
use crate::log::{World, lines, soon};

const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;
const REASON: &str = "memory budget: what this subscriber asks for is too much for now";

#[tokio::test]
async fn the_costliest_filter_is_closed_when_the_memory_is_used_up() {
    let world = World::start(ServeOptions::default().memory_budget(200_000), None).await;
    let mut honest = world.subscribe("").await;
    let mut small = world
        .subscribe(&format!("wantedDids={}", world.dids[0]))
        .await;
    let mut large = world.subscribe("").await;
    large.update(&filter(1500)).await;
    large.settle().await;
    let mut second = world.subscribe("").await;
    second.update(&filter(1400)).await;
    assert_eq!(large.closed().await, (1013, REASON.to_owned()));
    second.settle().await;
    // One that asks for more than anybody has makes no room, but goes itself.
    let mut largest = world.subscribe("").await;
    largest.update(&filter(5000)).await;
    assert_eq!(largest.closed().await, (1013, REASON.to_owned()));
    second.settle().await;
    small.settle().await;
    world.push(20).await;
    let log = world.log();
    assert_eq!(honest.texts(log.len()).await, lines(&log));
    let own: Vec<_> = log
        .iter()
        .filter(|entry| entry.did == world.dids[0])
        .collect();
    assert_eq!(small.texts(own.len()).await, lines(own));
}

#[tokio::test]
async fn a_filter_in_the_address_is_refused_when_the_memory_is_used_up() {
    let world = World::start(ServeOptions::default().memory_budget(10_000), None).await;
    let query = |count: usize| {
        let dids = (0..count).map(|n| format!("wantedDids=did:web:a{n}.example"));
        dids.collect::<Vec<_>>().join("&")
    };
    let _first = world.subscribe(&query(90)).await;
    let Err(refusal) = Client::try_connect(world.address, &query(100), &[]).await else {
        panic!("accepted");
    };
    assert_eq!((refusal.status, &*refusal.body), (503, REASON));
    world.subscribe(&query(20)).await;
}

#[tokio::test]
async fn a_hundred_unfinished_messages_take_no_more_than_the_budget() {
    let options = ServeOptions::default()
        .memory_budget(4 << 20)
        .max_received_bytes(100_000_000);
    let world = World::start(options, None).await;
    let mut honest = world.subscribe("").await;
    let mut clients = Vec::new();
    for _ in 0..100 {
        let mut client = Raw::subscribe(world.address, "").await;
        // A megabyte of ten.
        let mut bytes = vec![0x81, 0xff];
        bytes.extend(10_000_000_u64.to_be_bytes());
        bytes.resize(1_000_000, 0);
        // It may be closed before all of it has been sent.
        let _ = soon(client.stream.write_all(&bytes)).await;
        clients.push(client);
    }
    let few = async {
        while world.server.subscribers() > 5 {
            tokio::task::yield_now().await;
        }
    };
    soon(few).await;
    // Those are told that are not still sending.
    let mut told = 0;
    for mut client in clients {
        let frame = tokio::time::timeout(Duration::from_millis(20), client.try_frame());
        if let Ok(Ok(Some((CLOSE, payload)))) = frame.await {
            assert_eq!(payload[..2], 1013_u16.to_be_bytes());
            assert_eq!(&payload[2..], REASON.as_bytes());
            told += 1;
        }
    }
    assert!(told > 0);
    world.push(5).await;
    let log = world.log();
    assert_eq!(honest.texts(log.len()).await, lines(&log));
}

#[tokio::test]
async fn a_hundred_unfinished_requests_take_no_more_than_the_budget() {
    let options = ServeOptions::default().memory_budget(2 << 20);
    let world = World::start(options, None).await;
    let mut honest = world.subscribe("").await;
    let mut requests = Vec::new();
    let head = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}", "x".repeat(100_000));
    for _ in 0..100 {
        let mut stream = soon(TcpStream::connect(world.address)).await.unwrap();
        // It may be closed before all of it has been sent.
        let _ = soon(stream.write_all(head.as_bytes())).await;
        requests.push(stream);
    }
    // They would be told to wait for ten seconds otherwise.
    let mut ended = 0;
    for mut stream in requests.into_iter().take(70) {
        let mut nothing = [0; 1];
        let read = tokio::io::AsyncReadExt::read(&mut stream, &mut nothing);
        let end = tokio::time::timeout(Duration::from_millis(100), read).await;
        ended += usize::from(matches!(end, Ok(Ok(0) | Err(_))));
    }
    assert!(ended >= 50, "{ended}");
    world.push(5).await;
    let log = world.log();
    assert_eq!(honest.texts(log.len()).await, lines(&log));
}

#[tokio::test]
async fn output_that_is_not_taken_counts_as_well() {
    let options = ServeOptions::default().memory_budget(100_000);
    let world = World::start_narrow(options).await;
    world.push(1000).await;
    // Each has a buffer of more than 32 KB that its socket does not take.
    let mut silent = Vec::new();
    for _ in 0..8 {
        silent.push(Raw::subscribe(world.address, "cursor=0").await);
    }
    let few = async {
        while world.server.subscribers() > 3 {
            tokio::task::yield_now().await;
        }
    };
    soon(few).await;
    let mut honest = world.subscribe("").await;
    let before = world.log().len();
    world.push(5).await;
    let log = world.log();
    assert_eq!(
        honest.texts(log.len() - before).await,
        lines(&log[before..])
    );
    drop(silent);
    gone_but(&world, 1).await;
}

#[tokio::test]
async fn a_message_of_many_short_values_is_refused() {
    let world = World::with(0).await;
    let mut client = world.subscribe("").await;
    let values = vec!["1"; 4_000_000].join(",");
    client
        .send(Message::text(format!(
            r#"{{"type":"x","payload":[{values}]}}"#
        )))
        .await;
    let (code, reason) = client.closed().await;
    assert_eq!(code, 1000);
    let expected = "failed to unmarshal subscriber sourced message: there are too many values";
    assert!(reason.starts_with(expected), "{reason}");
}

#[tokio::test]
async fn an_address_cannot_take_all_streams() {
    let options = ServeOptions::default()
        .max_streams(3)
        .max_streams_per_address(2);
    let world = World::start(options, None).await;
    let _streams = [
        world.subscribe("compress=stream").await,
        world.subscribe("compress=stream").await,
    ];
    let Err(refusal) = Client::try_connect(world.address, "compress=stream", &[]).await else {
        panic!("accepted");
    };
    let reason = "too many streaming subscribers from this address";
    assert_eq!((refusal.status, &*refusal.body), (429, reason));
    // All of 127/8 is this machine.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let other = soon(socket.connect(world.address)).await.unwrap();
    let _other = upgrade(other, "compress=stream").await;
    let request = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    assert!(
        http(world.address, request)
            .await
            .0
            .starts_with("http/1.1 200 ")
    );
}

#[tokio::test]
async fn half_of_the_streams_is_the_most_for_an_address_unless_told_otherwise() {
    let world = World::start(ServeOptions::default().max_streams(4), None).await;
    let _streams = [
        world.subscribe("compress=stream").await,
        world.subscribe("compress=stream").await,
    ];
    let third = Client::try_connect(world.address, "compress=stream", &[]).await;
    assert_eq!(third.err().unwrap().status, 429);
}

/// Bytes that come too early stay in the sender's own socket.
#[tokio::test]
async fn a_client_that_sends_too_much_is_slowed_and_not_closed() {
    let options = ServeOptions::default()
        .max_message_bytes(400_000)
        .max_received_bytes(50_000)
        .ping_interval(Duration::from_millis(100))
        .pong_timeout(Duration::from_millis(200));
    let world = World::start(options, None).await;
    let mut flood = Raw::subscribe(world.address, "wantedDids=did:web:nobody.example").await;
    let update = format!(r#"{{"type":"options_update","payload":{}}}"#, filter(5000));
    let mut sent = 0;
    let blocked = async {
        loop {
            let write = send(&mut flood.stream, 0x81, update.as_bytes());
            if tokio::time::timeout(Duration::from_millis(400), write)
                .await
                .is_err()
            {
                return;
            }
            sent += 1;
        }
    };
    // Somewhere the socket takes no more, as the server has stopped reading.
    soon(blocked).await;
    assert!((1..400).contains(&sent), "{sent}");
    // Longer than a pong may take, and it continues being served.
    for _ in 0..5 {
        assert_eq!(flood.frame().await, Some((PING, Vec::new())));
    }
    assert_eq!(world.server.subscribers(), 1);
}

#[tokio::test]
async fn an_address_that_sends_too_much_is_slowed_as_a_whole_and_others_are_not() {
    let options = ServeOptions::default()
        .max_message_bytes(200_000)
        .max_received_bytes(1);
    let world = World::start(options, None).await;
    let text = format!(r#"{{"type":"{}"}}"#, "x".repeat(190_000));
    let mut first = Raw::subscribe(world.address, "").await;
    first.send(0x81, text.as_bytes()).await;
    first.send(PING, b"").await;
    assert_eq!(first.frame().await, Some((PONG, Vec::new())));
    // What the address may send at once has been sent, though not by this one. Its own allowance
    // is whole, so it is looked at once more.
    let mut second = Raw::subscribe(world.address, "").await;
    second.send(0x81, text.as_bytes()).await;
    second.send(PING, b"").await;
    let answer = tokio::time::timeout(Duration::from_millis(500), second.frame()).await;
    assert!(answer.is_err(), "{answer:?}");
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let other = soon(socket.connect(world.address)).await.unwrap();
    let mut other = upgrade(other, "").await;
    send(&mut other, 0x81, text.as_bytes()).await.unwrap();
    send(&mut other, PING, b"").await.unwrap();
    let mut answer = [0; 2];
    soon(tokio::io::AsyncReadExt::read_exact(&mut other, &mut answer))
        .await
        .unwrap();
    assert_eq!(answer, [PONG, 0]);
}

#[tokio::test]
async fn a_flood_of_updates_leaves_the_delivery_to_others_as_it_was() {
    let world = World::with(0).await;
    let mut honest = world.subscribe("").await;
    let update = format!(
        r#"{{"type":"options_update","payload":{}}}"#,
        filter(10_000)
    );
    let mut floods = Vec::new();
    for _ in 0..4 {
        let mut client = Raw::subscribe(world.address, "").await;
        let update = update.clone();
        floods.push(tokio::spawn(async move {
            while send(&mut client.stream, 0x81, update.as_bytes())
                .await
                .is_ok()
            {}
        }));
    }
    for _ in 0..20 {
        let before = world.log().len();
        world.push(5).await;
        let log = world.log();
        assert_eq!(
            honest.texts(log.len() - before).await,
            lines(&log[before..])
        );
        // A small update of its own waits for none of theirs.
        honest.update("{}").await;
        honest.settle().await;
    }
    assert_eq!(world.server.subscribers(), 5);
    floods.iter().for_each(tokio::task::JoinHandle::abort);
    drop(honest);
    gone(&world).await;
}

#[tokio::test]
async fn a_large_update_holds_from_its_place_among_the_messages() {
    let world = World::with(0).await;
    let mut client = world.subscribe("").await;
    for count in [3000, 0, 2000] {
        client.update(&filter(count)).await;
    }
    // The answer comes when the last of them holds.
    client.settle().await;
    world.push(20).await;
    client.update("{}").await;
    client.settle().await;
    assert_eq!(client.take_early(), []);
    let before = world.log().len();
    world.push(5).await;
    let log = world.log();
    assert_eq!(
        client.texts(log.len() - before).await,
        lines(&log[before..])
    );
}

/// A filter of this many accounts that are not in the network; 0 for all accounts.
fn filter(count: usize) -> String {
    let dids = (0..count).map(|n| format!(r#""did:web:a{n}.example""#));
    let dids = dids.collect::<Vec<_>>().join(",");
    format!(r#"{{"wantedDids":[{dids}]}}"#)
}

async fn gone_but(world: &World, left: usize) {
    let fewer = async {
        while world.server.subscribers() > left {
            tokio::task::yield_now().await;
        }
    };
    soon(fewer).await;
}

/// Shakes hands on a socket, and leaves what follows in it.
async fn upgrade(mut stream: TcpStream, query: &str) -> TcpStream {
    let request = format!(
        "GET /subscribe?{query} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: \
         websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: \
         dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = soon(tokio::io::AsyncReadExt::read_u8(&mut stream)).await;
        head.push(byte.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "));
    stream
}

/// Sends one frame, masked with zeros, however long that takes.
async fn send(stream: &mut TcpStream, first: u8, payload: &[u8]) -> std::io::Result<()> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..=125 => bytes.push(0x80 | length as u8),
        length => {
            bytes.push(0xff);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes.extend(payload);
    stream.write_all(&bytes).await
}
