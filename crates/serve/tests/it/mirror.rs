//! The log as a mirror gets it, over real sockets.

use std::time::Duration;

use jetwash::store::{Appender, Location, LogMessage, Options, Store, open};
use jetwash::{Dictionary, Jetstream, Seq};
use jetwash_serve::ServeOptions;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Message;

use crate::client::{Client, Raw, Refusal};
use crate::liveness::gone;
use crate::log::{World, network, soon};

fn serving() -> ServeOptions {
    ServeOptions::default().serve_mirrors(true)
}

async fn try_connect(world: &World, query: &str) -> Result<Client, Refusal> {
    let connected = Client::try_connect_to(world.address, "/mirror", query, &[]).await;
    connected.map(|(client, protocol)| {
        assert_eq!(protocol, None);
        client
    })
}

async fn connect(world: &World, query: &str) -> Client {
    try_connect(world, query).await.unwrap()
}

/// An empty mirror of a world's log.
fn mirror_of(world: &World) -> (Appender, Store) {
    let (mut appender, store) = open(Location::Memory, Options::default()).unwrap();
    appender.become_mirror(world.jetstream.log_id()).unwrap();
    (appender, store)
}

/// Takes over messages until the mirror has everything before a position.
async fn follow(client: &mut Client, mirror: &mut Appender, next_seq: Seq) {
    while mirror.next_seq() < next_seq {
        let message = LogMessage::decode(client.binary().await.into()).unwrap();
        mirror.apply(&message).unwrap();
        mirror.commit().unwrap();
    }
}

/// The position, the time, the line and the compressed bytes of an event.
type Kept = (u64, u64, Vec<u8>, Option<Vec<u8>>);

/// The events of a log with their positions and times, and compressed as they are.
fn events(store: &Store) -> Vec<Kept> {
    let (mut events, mut position) = (Vec::new(), Seq::FIRST);
    while let jetwash::store::Read::Events(run) = store.read(position).unwrap() {
        let (block, json) = (run.block(), run.block().json().unwrap());
        let compressed = block.compressed().unwrap();
        for index in run.indexes() {
            let meta = block.meta(index).unwrap();
            let compressed = compressed.map(|page| page.get(index).unwrap().to_vec());
            let json = json.get(index).unwrap().to_vec();
            events.push((meta.seq.get(), meta.time_us.get(), json, compressed));
        }
        position = run.next_seq();
    }
    events
}

fn dictionary() -> Dictionary {
    let frames = network().take(800).map(|frame| frame.bytes);
    Dictionary::train(frames, 4096, 77).unwrap()
}

#[tokio::test]
async fn a_mirror_gets_the_log_and_then_what_comes() {
    for dictionary in [None, Some(dictionary())] {
        let world = World::start(serving(), dictionary.clone()).await;
        world.push(700).await;
        let (mut mirror, store) = mirror_of(&world);
        let mut client = connect(&world, "").await;
        let hello = LogMessage::decode(client.binary().await.into()).unwrap();
        let bounds = world.jetstream.bounds();
        assert_eq!(
            hello,
            LogMessage::Hello {
                version: 1,
                log: world.jetstream.log_id(),
                oldest_seq: Seq::FIRST,
                next_seq: bounds.next_seq,
                last_time_us: bounds.newest_time_us.unwrap(),
            }
        );
        follow(&mut client, &mut mirror, bounds.next_seq).await;
        for _ in 0..20 {
            world.push(5).await;
            let next_seq = world.jetstream.bounds().next_seq;
            follow(&mut client, &mut mirror, next_seq).await;
        }
        assert_eq!(events(&store), events(world.jetstream.store()));
        assert_eq!(store.dictionaries(), Vec::from_iter(dictionary));
        assert_eq!(world.server.subscribers(), 1);
    }
}

#[tokio::test]
async fn a_mirror_continues_where_it_was() {
    let world = World::start(serving(), None).await;
    world.push(300).await;
    let (mut mirror, store) = mirror_of(&world);
    let middle = Seq::new(world.jetstream.bounds().next_seq.get() / 2);
    follow(&mut connect(&world, "").await, &mut mirror, middle).await;
    world.push(300).await;
    let next_seq = world.jetstream.bounds().next_seq;
    let (seq, log) = (mirror.next_seq(), store.log_id());
    let time_us = store.bounds().newest_time_us.unwrap();
    let query = format!("seq={seq}&log={log}&time_us={time_us}");
    let mut client = connect(&world, &query).await;
    assert_eq!(client.binary().await[0], 1);
    let first = LogMessage::decode(client.binary().await.into()).unwrap();
    match &first {
        LogMessage::Events(events) => assert_eq!(events.first_seq(), seq),
        other => panic!("{other:?}"),
    }
    mirror.apply(&first).unwrap();
    mirror.commit().unwrap();
    follow(&mut client, &mut mirror, next_seq).await;
    assert_eq!(events(&store), events(world.jetstream.store()));
}

#[tokio::test]
async fn a_position_before_the_oldest_event_is_no_refusal() {
    let builder = Jetstream::builder()
        .store_options(Options::default().block_events(16).bucket_events(64))
        .retain_for(Duration::from_secs(1));
    let world = World::start_with(builder, serving()).await;
    world.push(500).await;
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    let forgotten = async {
        while world.jetstream.bounds().oldest_seq == Seq::FIRST {
            tick.tick().await;
            world.push(1).await;
        }
    };
    soon(forgotten).await;
    let (mut mirror, store) = mirror_of(&world);
    let mut client = connect(&world, "seq=1").await;
    let next_seq = world.jetstream.bounds().next_seq;
    follow(&mut client, &mut mirror, next_seq).await;
    assert!(store.bounds().oldest_seq > Seq::FIRST);
    assert_eq!(store.bounds().next_seq, next_seq);
}

#[tokio::test]
async fn nothing_is_mirrored_unless_it_is_asked_for() {
    let world = World::with(3).await;
    for query in ["", "seq=1", "seq=x"] {
        let refusal = try_connect(&world, query).await.err().unwrap();
        refused(&refusal, 404, "MirroringDisabled");
    }
}

fn refused(refusal: &Refusal, status: u16, error: &str) -> String {
    let body: Value = serde_json::from_str(&refusal.body).unwrap();
    assert_eq!((refusal.status, &body["error"]), (status, &error.into()));
    assert_eq!(refusal.content_type, "application/json");
    assert_eq!(body.as_object().unwrap().len(), 2);
    body["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_request_is_refused_before_it_becomes_a_websocket() {
    let world = World::start(serving(), None).await;
    world.push(20).await;
    let log = world.jetstream.log_id();
    let next = world.jetstream.bounds().next_seq;
    let time = world.jetstream.bounds().newest_time_us.unwrap().get();
    let beyond = next.next();
    for (query, status, error, told) in [
        ("seq=0".to_owned(), 400, "InvalidRequest", "seq"),
        ("seq=".to_owned(), 400, "InvalidRequest", "seq"),
        ("seq=-1".to_owned(), 400, "InvalidRequest", "seq"),
        ("seq=%2b5".to_owned(), 400, "InvalidRequest", "seq"),
        ("seq=five".to_owned(), 400, "InvalidRequest", "seq"),
        (
            "seq=18446744073709551616".to_owned(),
            400,
            "InvalidRequest",
            "seq",
        ),
        ("log=".to_owned(), 400, "InvalidRequest", "hexadecimal"),
        ("log=12".to_owned(), 400, "InvalidRequest", "hexadecimal"),
        ("time_us=5".to_owned(), 400, "InvalidRequest", "time_us"),
        (
            "seq=1&time_us=5".to_owned(),
            400,
            "InvalidRequest",
            "time_us",
        ),
        (
            "seq=5&time_us=x".to_owned(),
            400,
            "InvalidRequest",
            "time_us",
        ),
        (
            "log=0123456789abcdef".to_owned(),
            409,
            "OtherLog",
            &*log.to_string(),
        ),
        (
            format!("seq={beyond}&log={log}"),
            409,
            "PositionAhead",
            &*next.to_string(),
        ),
        (
            format!("seq={next}&log={log}&time_us={}", time + 1),
            409,
            "LogParted",
            &*time.to_string(),
        ),
    ] {
        let refusal = try_connect(&world, &query).await.err().unwrap();
        let message = refused(&refusal, status, error);
        assert!(message.contains(told), "{query}: {message}");
    }
    // At the end of the log, with the time of the event before it, and parameters of others.
    let query = format!("seq={next}&log={log}&time_us={time}&other=1");
    assert_eq!(connect(&world, &query).await.binary().await[0], 1);
}

#[tokio::test]
async fn a_request_that_is_no_handshake_is_refused() {
    let world = World::start(serving(), None).await;
    let mut stream = Raw::connect(world.address).await.stream;
    let request = b"GET /mirror HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    soon(stream.write_all(request)).await.unwrap();
    let mut answer = String::new();
    soon(stream.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains(r#""error":"InvalidRequest""#), "{answer}");
    assert_eq!(world.server.subscribers(), 0);
}

#[tokio::test]
async fn mirrors_count_among_the_connections_of_an_address() {
    let options = serving().max_connections_per_address(1);
    let world = World::start(options, None).await;
    let mut client = connect(&world, "").await;
    assert_eq!(client.binary().await[0], 1);
    let refusal = try_connect(&world, "").await.err().unwrap();
    refused(&refusal, 429, "RateLimitExceeded");
}

#[tokio::test]
async fn a_quiet_log_says_that_nothing_is_missing() {
    let world = World::start(serving(), None).await;
    world.push(10).await;
    let next_seq = world.jetstream.bounds().next_seq;
    let mut client = connect(&world, &format!("seq={next_seq}")).await;
    assert_eq!(client.binary().await[0], 1);
    let tip = LogMessage::tip(Seq::FIRST, next_seq);
    for _ in 0..2 {
        assert_eq!(client.binary().await, tip.encode());
    }
    world.push(1).await;
    assert_eq!(client.binary().await[0], 3);
}

#[tokio::test]
async fn a_mirror_has_nothing_to_say() {
    let world = World::start(serving(), None).await;
    for message in [Message::text("{}"), Message::binary(vec![0; 3])] {
        let mut client = connect(&world, "").await;
        client.settle().await;
        client.send(message).await;
        let (code, reason) = client.closed().await;
        assert_eq!((code, &*reason), (1008, "clients send no messages here"));
    }
}

#[tokio::test]
async fn mirrors_are_closed_with_1001_when_the_server_ends() {
    let mut world = World::start(serving(), None).await;
    world.push(10).await;
    let mut client = connect(&world, "").await;
    client.settle().await;
    world.stop();
    let (code, reason) = client.closed().await;
    assert_eq!((code, &*reason), (1001, "server shutting down"));
    world.ended().await;
    assert_eq!(world.server.subscribers(), 0);
}

#[tokio::test]
async fn a_mirror_that_takes_nothing_is_closed() {
    let options = serving().write_timeout(Duration::from_millis(300));
    let world = World::start_narrow(options).await;
    world.push(2_000).await;
    let mut slow = Raw::connect_narrow(world.address).await;
    let head = slow.upgrade("/mirror", "", "").await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    // Its sockets hold some 20 kB of what is hundreds.
    gone(&world).await;
    // Others go on.
    let (mut mirror, store) = mirror_of(&world);
    let next_seq = world.jetstream.bounds().next_seq;
    follow(&mut connect(&world, "").await, &mut mirror, next_seq).await;
    assert_eq!(store.bounds().next_seq, next_seq);
}

/// Messages that are read for a mirror count as its memory, and the costliest goes first.
#[tokio::test]
async fn a_mirror_that_takes_too_much_memory_is_closed() {
    let options = serving().memory_budget(50_000);
    let world = World::start_narrow(options).await;
    world.push(2_000).await;
    let mut slow = Raw::connect_narrow(world.address).await;
    let head = slow.upgrade("/mirror", "", "").await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    gone(&world).await;
}

#[tokio::test]
async fn a_mirror_gets_no_more_events_than_its_address_may_have() {
    let options = serving().max_events_per_address(20);
    let world = World::start(options, None).await;
    world.push(60).await;
    let (mut mirror, store) = mirror_of(&world);
    let next_seq = world.jetstream.bounds().next_seq;
    let begun = std::time::Instant::now();
    let mut client = connect(&world, "").await;
    while mirror.next_seq() < next_seq {
        let position = mirror.next_seq().next();
        follow(&mut client, &mut mirror, position).await;
        // The first second's events come at once, and each other one 50 ms after the one before.
        let behind = (mirror.next_seq().get() - 1).saturating_sub(20);
        let (least, passed) = (Duration::from_millis(50 * behind), begun.elapsed());
        assert!(passed >= least, "{behind} more than 20 after {passed:?}");
    }
    assert_eq!(store.bounds().next_seq, next_seq);
}
