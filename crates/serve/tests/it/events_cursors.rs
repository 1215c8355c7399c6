//! Where a stream of version 2 starts, and the positions that version 1 may carry.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jetwash::store::Options;
use jetwash::{Jetstream, ManualClock, Seq};
use jetwash_serve::ServeOptions;
use serde_json::Value;
use tokio::time::interval;

use crate::client::Client;
use crate::events::{connect, messages, playback, refusal};
use crate::frames::trained;
use crate::log::{Entry, World, lines, soon};

/// The messages of a playback from a cursor.
async fn played(world: &World, cursor: impl std::fmt::Display) -> Vec<Value> {
    let query = format!("cursor={cursor}&caughtUp=true");
    playback(&mut connect(world, &query).await).await
}

/// A log of some hours: a few frames each minute.
async fn hours(clock: &ManualClock, minutes: usize) -> World {
    let builder = Jetstream::builder().clock(clock);
    let world = World::start_with(builder, ServeOptions::default()).await;
    for _ in 0..minutes {
        world.push(3).await;
        clock.advance(Duration::from_secs(60));
    }
    world
}

#[tokio::test]
async fn a_position_is_exact_and_inclusive() {
    let world = World::with(300).await;
    let expected = messages(&world.events());
    for seq in [1, 2, 150, expected.len()] {
        assert_eq!(played(&world, seq).await, expected[seq - 1..], "{seq}");
    }
    // The first event is the first that 0 can mean.
    assert_eq!(played(&world, 0).await, expected);
}

#[tokio::test]
async fn a_time_of_two_hours_ago_is_exact_to_the_event() {
    let clock = ManualClock::new(UNIX_EPOCH + Duration::from_secs(1_700_000_000));
    let world = hours(&clock, 180).await;
    let log = world.events();
    let expected = messages(&log);
    let two_hours = log.last().unwrap().time_us - 7_200_000_000;
    let from = log.partition_point(|entry| entry.time_us < two_hours);
    assert!((100..log.len() - 300).contains(&from), "{from}");
    assert_eq!(played(&world, two_hours).await, expected[from..]);
    // At an event, just before and just after it.
    for index in [1, from, from + 1, log.len() - 1] {
        let time_us = log[index].time_us;
        assert_eq!(played(&world, time_us).await, expected[index..]);
        let before = log[..index].partition_point(|entry| entry.time_us < time_us - 1);
        assert_eq!(played(&world, time_us - 1).await, expected[before..]);
        let after = log.partition_point(|entry| entry.time_us <= time_us);
        // The newest event has none after it: its playback is over before it began.
        let rest = &expected[after..];
        assert_eq!(played(&world, time_us + 1).await, rest);
    }
}

#[tokio::test]
async fn a_cursor_in_the_future_starts_at_the_live_end_without_a_word() {
    let world = World::with(50).await;
    let log = world.events();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let tomorrow = (now + Duration::from_secs(86_400)).as_micros();
    let mut clients = Vec::new();
    for cursor in [
        String::new(),
        (log.len() + 1).to_string(),
        (log.len() + 1000).to_string(),
        "999999999999999".to_owned(),
        tomorrow.to_string(),
        i64::MAX.to_string(),
    ] {
        let mut client = connect(&world, &format!("cursor={cursor}")).await;
        client.settle().await;
        clients.push((client, cursor));
    }
    world.push(5).await;
    let expected = &messages(&world.events())[log.len()..];
    for (mut client, cursor) in clients {
        for expected in expected {
            let found: Value = serde_json::from_str(&client.text().await).unwrap();
            assert_eq!(found, *expected, "{cursor}");
        }
    }
}

/// A log that has forgotten its beginning: its events from the floor on, with positions.
async fn trimmed(options: ServeOptions) -> (World, Vec<Value>, Seq, Vec<Entry>) {
    let dictionary = trained().await;
    let builder = Jetstream::builder()
        .dictionary(dictionary)
        .store_options(Options::default().block_events(16).bucket_events(64))
        .retain_for(Duration::from_secs(1));
    let world = World::start_with(builder, options).await;
    world.push(200).await;
    let mut tick = interval(Duration::from_millis(50));
    soon(async {
        while world.jetstream.bounds().oldest_seq <= Seq::FIRST {
            tick.tick().await;
            world.push(1).await;
        }
    })
    .await;
    let floor = world.jetstream.bounds().oldest_seq;
    let log = world.events();
    let messages = messages(&log);
    (world, messages, floor, log)
}

#[tokio::test]
async fn a_position_below_the_floor_is_refused_by_both_numbers() {
    let (world, ..) = trimmed(ServeOptions::default()).await;
    for cursor in [0, 1, 2] {
        let (status, name, text) = refusal(&world, &format!("cursor={cursor}")).await;
        assert_eq!((status, name.as_str()), (400, "CursorTooOld"));
        assert!(text.contains(&format!("cursor {cursor} ")), "{text}");
        // The log may have forgotten more since.
        let (_, floor) = text.rsplit_once("seq ").expect(&text);
        let floor: u64 = floor.parse().unwrap();
        assert!((2..=world.jetstream.bounds().oldest_seq.get()).contains(&floor));
    }
}

/// Also with a dictionary, where it is compressed as everything is.
#[tokio::test]
async fn a_time_below_the_floor_is_told_as_the_first_frame_and_starts_at_the_floor() {
    let (world, expected, floor, log) = trimmed(ServeOptions::default()).await;
    let dictionary = world.jetstream.dictionary().unwrap();
    let compressed = format!("zstdDictionary={}", dictionary.id());
    let oldest = log[0].time_us;
    for (cursor, mode) in [
        (oldest - 1, ""),
        (1_000_000_000_000_000, ""),
        (oldest - 1, &*compressed),
    ] {
        let mut client = connect(&world, &format!("cursor={cursor}&{mode}")).await;
        let mut next = async || -> Value {
            if mode.is_empty() {
                return serde_json::from_str(&client.text().await).unwrap();
            }
            let (frame, mut text) = (client.binary().await, Vec::new());
            let mut decoder = dictionary.decompressor();
            decoder.decompress(&frame, 1 << 20, &mut text).unwrap();
            serde_json::from_slice(&text).unwrap()
        };
        let info = next().await;
        let payload = &info["payload"];
        assert_eq!(info["$type"], "message");
        assert_eq!(
            payload["$type"],
            "network.bsky.jetstream.subscribeEvents#info"
        );
        assert_eq!(payload["name"], "OutdatedCursor");
        let text = payload["message"].as_str().unwrap();
        let first = next().await;
        let seq = first["payload"]["seq"].as_u64().unwrap();
        // The log may have forgotten more since, but nothing is left out from there on.
        assert!(seq >= floor.get());
        assert!(text.ends_with(&format!(" at seq {seq}")), "{text}");
        assert!(payload.get("seq").is_none());
        let at = (seq - floor.get()) as usize;
        if at == 0 {
            assert_eq!(first, expected[0]);
        }
    }
}

#[tokio::test]
async fn a_time_at_the_floor_is_no_clamping() {
    let world = World::with(20).await;
    let log = world.events();
    let expected = messages(&log);
    assert_eq!(played(&world, log[0].time_us).await, expected);
    // A log that never had an event has forgotten none.
    let empty = World::start(ServeOptions::default(), None).await;
    let mut client = connect(&empty, "cursor=1700000000000000").await;
    client.settle().await;
    empty.push(1).await;
    let found: Value = serde_json::from_str(&client.text().await).unwrap();
    assert_eq!(found, messages(&empty.events())[0]);
}

/// Without `cursor=seq` nothing changes; with it, `cursor` stands between the time and the kind,
/// and is a cursor.
#[tokio::test]
async fn version_1_carries_positions_for_who_asks() {
    let dictionary = trained().await;
    let world = World::start(ServeOptions::default(), Some(dictionary.clone())).await;
    let mut live = world.subscribe("cursor=seq").await;
    world.push(60).await;
    let log = world.log();
    let with_cursor = |entry: &Entry| {
        let (time, seq) = (entry.time_us, entry.seq);
        let plain = format!(r#""time_us":{time},"#);
        let with = format!(r#""time_us":{time},"cursor":{seq},"#);
        entry.json.replacen(&plain, &with, 1)
    };
    let expected: Vec<_> = log.iter().map(with_cursor).collect();
    assert_eq!(live.texts(log.len()).await, expected);
    let (time, seq) = (log[20].time_us, log[20].seq);
    for (query, from) in [
        ("cursor=seq&cursor=1".to_owned(), 0),
        ("cursor=0&cursor=seq".to_owned(), 0),
        ("cursor=-1&cursor=seq".to_owned(), 0),
        (format!("cursor={seq}&cursor=seq"), 20),
        (format!("cursor=seq&cursor={time}"), 20),
        (format!("cursor={time}&cursor=1&cursor=seq"), 20),
    ] {
        let query = format!("{query}&caughtUp=true");
        let found = world.connect(&query).await.playback().await;
        assert_eq!(found, expected[from..], "{query}");
    }
    let mut compressed = world.connect("cursor=seq&cursor=1&compress=true").await;
    for expected in &expected {
        let (frame, mut text) = (compressed.binary().await, Vec::new());
        let mut decoder = dictionary.decompressor();
        decoder.decompress(&frame, 1 << 20, &mut text).unwrap();
        assert_eq!(text, expected.as_bytes());
    }
    let plain = world
        .connect("cursor=0&caughtUp=true")
        .await
        .playback()
        .await;
    assert_eq!(plain, lines(&log));
    for (query, body) in [
        ("cursor=x&cursor=seq", "invalid cursor: x"),
        ("cursor=SEQ", "invalid cursor: SEQ"),
        (
            "cursor=seq&format=v0",
            "invalid cursor: seq (only events of the format v1 have a cursor)",
        ),
    ] {
        let Err(refusal) = Client::try_connect(world.address, query, &[]).await else {
            panic!("accepted: {query}");
        };
        assert_eq!(refusal.body, body);
    }
}
