//! Pings, timeouts and goodbyes.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use jetwash_serve::ServeOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use crate::client::Raw;
use crate::log::{Entry, World, lines, soon};

const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

fn impatient() -> ServeOptions {
    let short = Duration::from_millis(200);
    ServeOptions::default()
        .ping_interval(short)
        .pong_timeout(short)
}

fn close(payload: &[u8]) -> (u16, String) {
    let (code, reason) = payload.split_first_chunk().expect("a close without a code");
    let reason = String::from_utf8(reason.to_vec()).unwrap();
    (u16::from_be_bytes(*code), reason)
}

#[tokio::test]
async fn subscribers_are_pinged_and_stay_if_they_answer() {
    // Long enough for a machine that is busy with other things.
    let patience = Duration::from_secs(2);
    let options = impatient().pong_timeout(patience);
    let world = World::start(options, None).await;
    let stay = async |query: &str| {
        let mut client = world.subscribe(query).await;
        // The client library answers by itself.
        let start = Instant::now();
        while start.elapsed() < patience * 2 {
            assert!(matches!(client.raw().await, Message::Ping(_)), "{query}");
        }
        client.update("{}").await;
        client.settle().await;
        client
    };
    let clients = tokio::join!(stay(""), stay("requireHello=true"));
    let before = world.log().len();
    world.push(3).await;
    let expected = lines(&world.log()[before..]);
    for mut client in [clients.0, clients.1] {
        assert_eq!(client.texts(expected.len()).await, expected);
    }
}

#[tokio::test]
async fn a_subscriber_that_answers_no_ping_is_told_and_closed() {
    let world = World::start(impatient(), None).await;
    for query in ["", "requireHello=true"] {
        let mut client = Raw::subscribe(world.address, query).await;
        let mut pings = 0;
        let (code, reason) = loop {
            match client.frame().await.expect("no close frame") {
                (PING, _) => pings += 1,
                (CLOSE, payload) => break close(&payload),
                (first, _) => panic!("{first:x}"),
            }
        };
        assert_eq!((code, &*reason), (1008, "no pong in time"), "{query}");
        assert!(pings >= 1);
        assert_eq!(client.frame().await, None);
    }
}

/// How long silence may last must not depend on when the next ping is due.
#[tokio::test]
async fn the_pong_is_missed_soon_even_if_pings_are_rare() {
    let options = ServeOptions::default()
        .ping_interval(Duration::from_secs(4))
        .pong_timeout(Duration::from_millis(50));
    let world = World::start(options, None).await;
    let mut client = Raw::subscribe(world.address, "").await;
    assert_eq!(client.frame().await, Some((PING, Vec::new())));
    let pinged = Instant::now();
    let (first, payload) = client.frame().await.unwrap();
    assert_eq!((first, close(&payload).0), (CLOSE, 1008));
    let waited = pinged.elapsed();
    assert!(waited < Duration::from_secs(3), "{waited:?}");
}

#[tokio::test]
async fn a_ping_is_answered_with_its_payload() {
    let world = World::with(0).await;
    for query in ["", "requireHello=true"] {
        let mut client = Raw::subscribe(world.address, query).await;
        client.send(PING, b"").await;
        assert_eq!(client.frame().await, Some((PONG, Vec::new())));
        client.send(PING, &[7; 125]).await;
        assert_eq!(client.frame().await, Some((PONG, vec![7; 125])));
    }
}

#[tokio::test]
async fn a_close_is_answered_and_the_connection_ends() {
    let world = World::with(3).await;
    let client = world.subscribe("").await;
    assert_eq!(client.close().await.0, 1000);
    // Without a code, with one, and in the middle of a playback.
    for (query, payload) in [
        ("", &[][..]),
        ("", &[0x03, 0xe9]),
        ("cursor=0", &[0x03, 0xe8]),
    ] {
        let mut client = Raw::subscribe(world.address, query).await;
        client.send(CLOSE, payload).await;
        let answer = loop {
            match client.frame().await.expect("no close frame") {
                (TEXT, _) => {}
                (first, payload) => break (first, payload),
            }
        };
        assert_eq!((answer.0, close(&answer.1).0), (CLOSE, 1000), "{payload:?}");
        assert_eq!(client.frame().await, None);
    }
}

#[tokio::test]
async fn what_breaks_the_protocol_closes_with_its_code() {
    let world = World::with(0).await;
    for (first, payload, expected) in [
        (0x81, &b"\xff\xff"[..], (1007, "text is not UTF-8")),
        (0x83, b"", (1002, "unknown opcode")),
        (0xc1, b"{}", (1002, "reserved bits set")),
        (0x80, b"{}", (1002, "fragments out of order")),
        (0x09, b"", (1002, "control frame too long or fragmented")),
        (0x88, b"\x03", (1002, "invalid close frame")),
    ] {
        let mut client = Raw::subscribe(world.address, "").await;
        client.send(first, payload).await;
        let (opcode, payload) = client.frame().await.unwrap();
        let (code, reason) = close(&payload);
        assert_eq!((opcode, code, &*reason), (CLOSE, expected.0, expected.1));
        assert_eq!(client.frame().await, None);
    }
    let mut client = Raw::subscribe(world.address, "").await;
    client.stream.write_all(&[0x81, 0x01, b'x']).await.unwrap();
    let (_, payload) = client.frame().await.unwrap();
    assert_eq!(close(&payload), (1002, "frame not masked".to_owned()));
}

#[tokio::test]
async fn a_message_in_pieces_is_one_message() {
    let world = World::with(3).await;
    let mut client = Raw::subscribe(world.address, "requireHello=true&cursor=0").await;
    client.send(0x01, br#"{"type":"options_"#).await;
    client.send(PING, b"between").await;
    assert_eq!(client.frame().await, Some((PONG, b"between".to_vec())));
    client.send(0x00, br#"update","payload":"#).await;
    client.send(0x80, b"{}}").await;
    for entry in world.log() {
        assert_eq!(client.frame().await, Some((TEXT, entry.json.into_bytes())));
    }
}

#[tokio::test]
async fn shutting_down_closes_every_subscriber_with_1001() {
    let mut world = World::with(3).await;
    let mut clients = Vec::new();
    for query in ["", "cursor=0", "requireHello=true", "compress=true"] {
        clients.push(world.subscribe(query).await);
    }
    assert_eq!(world.server.subscribers(), 4);
    world.stop();
    for client in clients {
        let goodbye = (1001, "server shutting down".to_owned());
        assert_eq!(client.closed().await, goodbye);
    }
    world.ended().await;
    assert_eq!(world.server.subscribers(), 0);
}

/// The end of the stream must not fall into the middle of an event.
#[tokio::test]
async fn a_subscriber_that_is_being_written_to_gets_whole_frames_and_the_goodbye() {
    let mut world = World::start_narrow(ServeOptions::default()).await;
    world.push(500).await;
    let mut client = Raw::subscribe(world.address, "cursor=0").await;
    let log = world.log();
    assert_eq!(client.frame().await.unwrap().1, log[0].json.as_bytes());
    // As the socket holds a few kilobytes, the server is now waiting for room in it.
    world.stop();
    let mut rest = log[1..].iter();
    let (code, reason) = loop {
        match client.frame().await.expect("no close frame") {
            (TEXT, payload) => assert_eq!(payload, rest.next().unwrap().json.as_bytes()),
            (CLOSE, payload) => break close(&payload),
            (first, _) => panic!("{first:x}"),
        }
    };
    assert_eq!((code, &*reason), (1001, "server shutting down"));
    assert_eq!(client.frame().await, None);
    world.ended().await;
}

/// A client that has sent half a request must not keep the server from ending.
#[tokio::test]
async fn half_a_request_does_not_hold_up_the_shutdown() {
    let mut world = World::with(0).await;
    let mut half = TcpStream::connect(world.address).await.unwrap();
    half.write_all(b"GET /subscribe HTTP/1.1\r\nHost: ")
        .await
        .unwrap();
    // A whole exchange after it says that the half has arrived.
    drop(world.subscribe("").await);
    world.stop();
    world.ended().await;
}

#[tokio::test]
async fn a_reader_that_takes_nothing_is_closed_even_if_it_goes_on_sending() {
    let options = ServeOptions::default().write_timeout(Duration::from_millis(300));
    let world = World::start_narrow(options).await;
    world.push(500).await;
    let silent = Raw::subscribe(world.address, "cursor=0").await;
    let mut talking = Raw::subscribe(world.address, "cursor=0").await;
    let talk = async {
        // One byte of a message at a time, more often than the timeout.
        let mut tick = tokio::time::interval(Duration::from_millis(50));
        loop {
            tick.tick().await;
            if talking.stream.write_all(&[0x89]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = soon(talk) => {}
        () = gone(&world) => {}
    }
    gone(&world).await;
    drop(silent);
}

/// Waits until no subscriber is left. The server tells nobody, so this asks again and again.
pub(crate) async fn gone(world: &World) {
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    let none = async {
        while world.server.subscribers() > 0 {
            tick.tick().await;
        }
    };
    soon(none).await;
}

/// It has read nothing when the server has already forgotten it. What its own side of the socket
/// holds it still gets, and then it must not wait for more.
#[tokio::test]
async fn a_reader_that_took_nothing_for_too_long_finds_its_connection_reset() {
    let silence = [
        (
            impatient()
                .write_timeout(Duration::from_millis(200))
                .pong_timeout(Duration::from_secs(60)),
            PONG,
        ),
        // It is pinged, and has no room left for anything when the pong is missed.
        (impatient().pong_timeout(Duration::from_secs(3)), PING),
    ];
    for (options, sign) in silence {
        let world = World::start_narrow(options).await;
        let mut client = Raw::subscribe(world.address, "").await;
        client.send(PING, b"").await;
        while client.frame().await.unwrap().0 != sign {}
        world.push(200).await;
        gone(&world).await;
        let mut rest = Vec::new();
        let end = soon(client.stream.read_to_end(&mut rest)).await;
        assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert!(!rest.is_empty());
    }
}

#[tokio::test]
async fn what_was_not_taken_before_the_timeout_is_there_after_it() {
    let options = ServeOptions::default().write_timeout(Duration::from_millis(200));
    let world = World::start_narrow(options).await;
    world.push(500).await;
    let mut client = Raw::subscribe(world.address, "cursor=0").await;
    gone(&world).await;
    let mut seen = Vec::new();
    // What the sockets still hold may end anywhere, as the server could say no more.
    while let Ok(Some((TEXT, payload))) = client.try_frame().await {
        seen.push(Entry::parse(String::from_utf8(payload).unwrap()));
    }
    let last = seen.last().unwrap().time_us;
    let query = format!("cursor={last}&caughtUp=true");
    let rest = world.connect(&query).await.playback().await;
    assert_eq!(rest[0], seen.pop().unwrap().json);
    let all = [lines(&seen), rest].concat();
    assert_eq!(all, lines(&world.log()));
}
