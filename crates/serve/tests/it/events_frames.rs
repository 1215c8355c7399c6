//! How messages of version 2 are framed, and how a stream ends.

use std::time::Duration;

use jetwash::store::Options;
use jetwash::{Dictionary, Jetstream, Seq};
use jetwash_serve::ServeOptions;
use serde_json::Value;
use tokio::time::interval;
use tokio_tungstenite::tungstenite::Message;

use crate::client::{Client, Raw, http_bytes};
use crate::events::{ROUTE, connect, message, messages, playback, refusal};
use crate::log::{World, soon};

#[tokio::test]
async fn the_subprotocol_is_chosen_by_its_very_name_and_changes_nothing() {
    let world = World::with(10).await;
    let expected = messages(&world.events());
    let name = Some("xrpc.v1.json");
    let rows = [
        (&[][..], None),
        (&[("Sec-WebSocket-Protocol", "xrpc.v1.json")], name),
        (
            &[("Sec-WebSocket-Protocol", "xrpc.v2.cbor, xrpc.v1.json")],
            name,
        ),
    ];
    for (headers, protocol) in rows {
        let connected = Client::try_connect_to(world.address, ROUTE, "cursor=1", headers).await;
        let (mut client, chosen) = connected.unwrap();
        assert_eq!(chosen.as_deref(), protocol);
        for expected in &expected {
            let found: Value = serde_json::from_str(&client.text().await).unwrap();
            assert_eq!(found, *expected);
        }
    }
    // A client of websockets insists on an answer, so this one is by hand.
    for (offered, has_answer) in [("XRPC.V1.JSON", false), ("xrpc.v1.json", true)] {
        let mut client = Raw::connect(world.address).await;
        let head = client
            .upgrade(
                ROUTE,
                "cursor=1",
                &format!("Sec-WebSocket-Protocol: {offered}\r\n"),
            )
            .await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        let head = head.to_ascii_lowercase();
        assert_eq!(
            head.contains("sec-websocket-protocol"),
            has_answer,
            "{head}"
        );
        assert!(!head.contains("sec-websocket-extensions"), "{head}");
        let (first, payload) = client.frame().await.unwrap();
        let found: Value = serde_json::from_slice(&payload).unwrap();
        assert_eq!((first, found), (0x81, expected[0].clone()));
    }
}

/// Deflate is offered, and not taken up.
#[tokio::test]
async fn there_is_no_deflate() {
    let world = World::with(10).await;
    let mut client = Raw::connect(world.address).await;
    let deflate = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let head = client.upgrade(ROUTE, "cursor=1", deflate).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(!head.to_ascii_lowercase().contains("extensions"), "{head}");
    assert_eq!(client.frame().await.unwrap().0, 0x81);
}

/// A dictionary for messages of version 2.
async fn dictionary(id: u32) -> Dictionary {
    let world = World::with(300).await;
    let mut client = connect(&world, "cursor=1&caughtUp=true").await;
    let samples = playback(&mut client).await;
    let samples = samples.iter().map(Value::to_string);
    Dictionary::train(samples, 4096, id).unwrap()
}

#[tokio::test]
async fn with_a_dictionary_each_message_is_a_frame_of_exactly_the_text() {
    let own = dictionary(7001).await;
    let lines = dictionary(7002).await;
    // With one of its own, and with that of the log.
    for (options, current) in [
        (ServeOptions::default().v2_dictionary(own.clone()), &own),
        (ServeOptions::default(), &lines),
    ] {
        let world = World::start(options, Some(lines.clone())).await;
        let query = format!("zstdDictionary={}&caughtUp=true", current.id());
        let mut live = connect(&world, &query).await;
        live.settle().await;
        world.push(200).await;
        let expected = messages(&world.events());
        let mut plain = connect(&world, "cursor=1&caughtUp=true").await;
        let mut played = connect(&world, &format!("{query}&cursor=1")).await;
        let unpack = |frame: &[u8]| {
            let id = jetwash::dict::compressed_dictionary_id(frame);
            assert_eq!(id, Some(current.id()));
            let mut decoder = zstd::bulk::Decompressor::with_dictionary(current.bytes()).unwrap();
            String::from_utf8(decoder.decompress(frame, 1 << 20).unwrap()).unwrap()
        };
        for expected in &expected {
            let text = plain.text().await;
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), *expected);
            assert_eq!(unpack(&played.binary().await), text);
            assert_eq!(unpack(&live.binary().await), text);
        }
        // What is not an event is compressed too.
        assert_eq!(unpack(&played.binary().await), plain.text().await);
        // The other is not served for this.
        let (_, name, text) = refusal(&world, "zstdDictionary=7003").await;
        assert_eq!(name, "UnknownZstdDictionary");
        assert!(text.contains(&current.id().to_string()), "{text}");
    }
}

#[tokio::test]
async fn the_dictionary_in_use_is_to_be_asked_for_again_and_a_named_one_is_for_ever() {
    let own = dictionary(7001).await;
    let lines = dictionary(7002).await;
    let options = ServeOptions::default().v2_dictionary(own.clone());
    let world = World::start(options, Some(lines.clone())).await;
    let forever = "public, max-age=31536000, immutable";
    for (query, expected, caching) in [
        ("", &own, "no-cache"),
        ("?format=v1", &lines, "no-cache"),
        ("?id=7001", &own, forever),
        ("?id=7002", &lines, forever),
    ] {
        let path = "/xrpc/network.bsky.jetstream.getZstdDictionary";
        let request = format!("GET {path}{query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let (head, body) = http_bytes(world.address, &request).await;
        assert!(head.starts_with("http/1.1 200 "), "{head}");
        let id = expected.id();
        for header in [
            format!("cache-control: {caching}\r\n"),
            format!("etag: \"zstd-dict-{id}\"\r\n"),
            format!("x-zstd-dictionary-id: {id}\r\n"),
        ] {
            assert!(head.contains(&header), "{header} is not in:\n{head}");
        }
        assert_eq!(body, expected.bytes());
    }
}

/// A dictionary of the log goes over to another while somebody reads: it keeps its own, and the
/// next has to ask for the new one.
#[tokio::test]
async fn a_connection_keeps_its_dictionary_when_the_log_goes_over_to_another() {
    let (first, second) = (dictionary(1).await, dictionary(2).await);
    let world = World::start(ServeOptions::default(), Some(first.clone())).await;
    let mut before = connect(&world, "zstdDictionary=1").await;
    before.settle().await;
    world.push(50).await;
    world
        .jetstream
        .rotate_dictionary(second.clone())
        .await
        .unwrap();
    world.push(50).await;
    let (_, name, text) = refusal(&world, "zstdDictionary=1").await;
    assert_eq!(name, "UnknownZstdDictionary");
    assert!(text.contains("the one in use is 2"), "{text}");
    let mut after = connect(&world, "zstdDictionary=2&cursor=1").await;
    for expected in messages(&world.events()) {
        for (client, dictionary) in [(&mut before, &first), (&mut after, &second)] {
            let mut text = Vec::new();
            let frame = client.binary().await;
            dictionary
                .decompressor()
                .decompress(&frame, 1 << 20, &mut text)
                .unwrap();
            assert_eq!(serde_json::from_slice::<Value>(&text).unwrap(), expected);
        }
    }
}

#[tokio::test]
async fn whatever_a_client_says_closes_with_1008() {
    let world = World::with(0).await;
    for said in [
        Message::text("{}"),
        Message::text(""),
        Message::binary(vec![1, 2, 3]),
    ] {
        let mut client = connect(&world, "").await;
        client.send(said).await;
        let (code, reason) = client.closed().await;
        assert_eq!(
            (code, reason.as_str()),
            (1008, "clients send no messages here")
        );
    }
    // A large one by its head alone, and one in pieces by its first.
    for head in [
        vec![0x82, 0xff, 0, 0, 0, 0, 0, 9, 0, 0],
        vec![0x01, 0x81, 0, 0, 0, 0, b'{'],
    ] {
        let mut client = Raw::connect(world.address).await;
        client.upgrade(ROUTE, "", "").await;
        soon(tokio::io::AsyncWriteExt::write_all(
            &mut client.stream,
            &head,
        ))
        .await
        .unwrap();
        let (first, payload) = client.frame().await.unwrap();
        assert_eq!((first, &payload[..2]), (0x88, &1008_u16.to_be_bytes()[..]));
    }
    // Pings are answered, and a close is.
    let mut client = connect(&world, "").await;
    client.settle().await;
    assert_eq!(client.close().await.0, 1000);
}

#[tokio::test]
async fn the_end_of_the_server_closes_with_1001() {
    let mut world = World::with(0).await;
    let mut client = connect(&world, "").await;
    client.settle().await;
    world.stop();
    assert_eq!(client.closed().await.0, 1001);
    world.ended().await;
}

/// One that the log has moved past is told where it may go on, instead of losing events silently.
#[tokio::test]
async fn a_client_that_falls_behind_the_log_is_told_that_it_is_too_slow() {
    let builder = Jetstream::builder()
        .store_options(Options::default().block_events(16).bucket_events(64))
        .retain_for(Duration::from_secs(1));
    let world = World::start_narrow_with(builder, ServeOptions::default()).await;
    let mut client = Raw::connect_narrow(world.address).await;
    client.upgrade(ROUTE, "", "").await;
    client.send(0x89, b"").await;
    assert_eq!(client.frame().await, Some((0x8a, Vec::new())));
    world.push(1000).await;
    let log = world.events();
    let mut tick = interval(Duration::from_millis(50));
    soon(async {
        while world.jetstream.bounds().oldest_seq <= Seq::new(log.len() as u64) {
            tick.tick().await;
            world.push(1).await;
        }
    })
    .await;
    let mut count = 0;
    let error = loop {
        let (first, payload) = client.frame().await.unwrap();
        let found: Value = serde_json::from_slice(&payload).unwrap();
        assert_eq!(first, 0x81);
        if found["$type"] == "error" {
            break found;
        }
        assert_eq!(found, message(&log[count]));
        count += 1;
    };
    assert!((1..log.len()).contains(&count), "{count}");
    assert_eq!(error["error"], "ConsumerTooSlow");
    let text = error["message"].as_str().unwrap();
    assert!(text.contains(&format!("from seq {} ", count + 1)), "{text}");
    let (_, cursor) = text.rsplit_once("cursor=").expect(text);
    let (first, payload) = client.frame().await.unwrap();
    assert_eq!((first, &payload[..2]), (0x88, &1008_u16.to_be_bytes()[..]));
    // It may come back with the cursor that it was told, or is told the next.
    if cursor.parse::<u64>().unwrap() >= world.jetstream.bounds().oldest_seq.get() {
        let mut client = connect(&world, &format!("cursor={cursor}")).await;
        let found: Value = serde_json::from_str(&client.text().await).unwrap();
        assert_eq!(found["payload"]["seq"].to_string(), cursor);
    }
}

/// The limits of version 1 hold: here that on a socket which takes nothing.
#[tokio::test]
async fn a_client_that_takes_nothing_is_closed_after_a_while() {
    let options = ServeOptions::default().write_timeout(Duration::from_millis(300));
    let world = World::start_narrow(options).await;
    let mut client = Raw::connect_narrow(world.address).await;
    client.upgrade(ROUTE, "", "").await;
    client.send(0x89, b"").await;
    assert_eq!(client.frame().await, Some((0x8a, Vec::new())));
    for _ in 0..20 {
        world.push(100).await;
    }
    let mut tick = interval(Duration::from_millis(20));
    soon(async {
        while world.server.subscribers() > 0 {
            tick.tick().await;
        }
    })
    .await;
    // It finds whole messages in order, and then an end or a reset, but never silence.
    let expected = messages(&world.events());
    let mut count = 0;
    while let Ok(Some((0x81, payload))) = client.try_frame().await {
        let found: Value = serde_json::from_slice(&payload).unwrap();
        if found["$type"] == "error" {
            assert_eq!(found["error"], "ConsumerTooSlow");
            break;
        }
        assert_eq!(found, expected[count]);
        count += 1;
    }
    assert!((1..expected.len()).contains(&count), "{count}");
}

/// A thousand clients with filters do not take more than the memory there is for them.
#[tokio::test]
async fn filters_are_paid_for_from_the_memory_of_all_subscribers() {
    let options = ServeOptions::default().memory_budget(100_000);
    let world = World::start(options, None).await;
    let dids: String = (0..500)
        .map(|n| format!("dids=did:web:a{n}.example&"))
        .collect();
    let mut clients = Vec::new();
    let refused = loop {
        match crate::events::try_connect(&world, &dids).await {
            Ok(client) => clients.push(client),
            Err(refused) => break refused,
        }
        assert!(clients.len() < 10);
    };
    assert_eq!(refused.status, 503);
    assert!(refused.body.contains(r#""error":"ServiceUnavailable""#));
    assert!(!clients.is_empty());
}
