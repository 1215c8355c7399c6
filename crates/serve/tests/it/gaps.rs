//! Where the log has gaps, a subscriber gets what there is.

use std::path::Path;

use jetwash::store::{
    self, Appender, CommitPart, Durability, EventKind, GapCause, Location, NewEvent, Options,
    UpstreamGap,
};
use jetwash::{Jetstream, JetstreamBuilder, Micros, Seq};
use jetwash_serve::ServeOptions;
use jetwash_store::testing::fail_power;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_tungstenite::tungstenite::Message;

use crate::log::World;

fn options() -> Options {
    Options::default()
        .durability(Durability::Buffered)
        .block_events(64)
        .bucket_events(10_000)
        .hot_bytes(1)
}

fn time_of(seq: u64) -> u64 {
    1_783_175_888_000_000 + seq * 1_000
}

fn line(seq: u64, time_us: u64) -> String {
    format!(
        r#"{{"did":"did:web:example.com","time_us":{time_us},"kind":"account","account":{{"active":true,"did":"did:web:example.com","seq":{seq},"time":"2026-07-04T14:38:08.085Z"}}}}"#
    )
}

/// Adds events, and gives their lines.
fn append(appender: &mut Appender, count: u64) -> Vec<String> {
    let mut lines = Vec::new();
    for _ in 0..count {
        let seq = appender.next_seq();
        let time_us = appender.next_time_us(Micros::new(time_of(seq.get())));
        let json = line(seq.get(), time_us.get());
        let event = NewEvent {
            kind: EventKind::Account,
            did: "did:web:example.com",
            collection: "",
            commit: CommitPart::WHOLE,
            source: "test",
            verdict: 0,
            time_us,
            json: json.as_bytes(),
            compressed: None,
        };
        appender.push(&event).unwrap();
        lines.push(json);
    }
    appender.commit().unwrap();
    lines
}

fn open(folder: &Path) -> Appender {
    let location = Location::Disk(folder.to_owned());
    store::open(location, options()).unwrap().0
}

pub(crate) fn builder(folder: &Path) -> JetstreamBuilder {
    Jetstream::builder()
        .folder(folder)
        .store_options(options())
        .retain_for(std::time::Duration::from_secs(1 << 30))
}

async fn serve(folder: &Path) -> World {
    World::start_with(builder(folder), ServeOptions::default()).await
}

/// A log of 640 events in blocks of 64, of which those from 257 on are damaged in their payload
/// or else in their index; and the lines that can still be read.
pub(crate) fn damaged(part: u8) -> (TempDir, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let mut appender = open(folder.path());
    let mut lines = append(&mut appender, 640);
    drop(appender);
    {
        let database = fjall::Database::builder(folder.path()).open().unwrap();
        let bucket = database
            .keyspace("bucket-00000000000000000001", Default::default)
            .unwrap();
        let mut keys = bucket
            .prefix(257_u64.to_be_bytes())
            .map(|guard| guard.key().unwrap());
        let key = keys.find(|key| key.last() == Some(&part)).unwrap();
        let mut bytes = bucket.get(&key).unwrap().unwrap().to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        bucket.insert(key, bytes).unwrap();
    }
    lines.drain(256..320);
    (folder, lines)
}

#[tokio::test]
async fn one_changed_bit_on_disk_costs_every_reconnect_one_block_and_no_more() {
    for part in [0, 1] {
        let (folder, lines) = damaged(part);
        let world = serve(folder.path()).await;
        for _ in 0..8 {
            let mut client = world.connect("cursor=0").await;
            assert_eq!(client.texts(lines.len()).await, lines);
            client.settle().await;
        }
        world.end().await;
    }
}

#[tokio::test]
async fn a_time_in_a_damaged_block_is_a_place_to_resume_from() {
    // The index says where in the block the time is, if it can be read.
    for (part, from) in [(0, 257), (1, 300)] {
        let (folder, lines) = damaged(part);
        let world = serve(folder.path()).await;
        let query = format!("cursor={}", time_of(300));
        let mut client = world.connect(&query).await;
        let expected = &lines[256..];
        assert_eq!(client.texts(expected.len()).await, expected);
        client.settle().await;
        let mut client = world.connect(&format!("{query}&gaps=true")).await;
        let told: Value = serde_json::from_str(&client.text().await).unwrap();
        let damaged = json!({"cause": "damaged", "from": from, "to": 321, "events": 321 - from});
        assert_eq!(told["gap"], damaged);
        assert_eq!(client.text().await, expected[0]);
        world.end().await;
    }
}

#[tokio::test]
async fn every_form_of_events_goes_on_behind_damage() {
    let (folder, lines) = damaged(1);
    let world = serve(folder.path()).await;
    for query in ["compress=true", "compress=batch", "format=binary"] {
        let query = format!("cursor=0&caughtUp=true&{query}");
        let mut client = world.connect(&query).await;
        let (mut bytes, mut messages) = (Vec::new(), 0);
        loop {
            let message = match client.message().await {
                Message::Binary(message) => message.to_vec(),
                other => panic!("{query}: {other:?}"),
            };
            let message = if query.contains("compress") {
                zstd::decode_all(&message[..]).unwrap()
            } else {
                message
            };
            let text = |text: &[u8]| message.windows(text.len()).any(|part| part == text);
            if text(b"caughtUp") {
                break;
            }
            messages += 1;
            bytes.extend(message);
            bytes.push(b'\n');
        }
        if query.contains("binary") {
            assert_eq!(messages, lines.len());
        } else {
            let text = String::from_utf8(bytes).unwrap();
            assert_eq!(text.lines().collect::<Vec<_>>(), lines, "{query}");
        }
    }
    world.end().await;
}

#[tokio::test]
async fn after_a_power_failure_everyone_resumes_and_those_who_ask_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut appender = open(folder.path());
    let mut lines = append(&mut appender, 100);
    fail_power(folder.path(), appender).unwrap();
    let mut appender = open(folder.path());
    let behind = appender.next_seq();
    assert!(behind > Seq::new(101));
    let upstream = UpstreamGap::new("wss://relay.example/", Some(7), Some(9));
    appender.note_gap(GapCause::UpstreamOutdated, Some(2), Some(upstream));
    lines.extend(append(&mut appender, 5));
    drop(appender);

    let world = serve(folder.path()).await;
    for (cursor, skipped) in [(0, 0), (time_of(50), 49), (time_of(100), 99)] {
        let expected = &lines[skipped..];
        let query = format!("cursor={cursor}");
        let mut client = world.connect(&query).await;
        assert_eq!(client.texts(expected.len()).await, expected);
        client.settle().await;

        let mut client = world.connect(&format!("{query}&gaps=true")).await;
        let (mut events, mut told) = (Vec::new(), Vec::new());
        while events.len() < expected.len() {
            let text = client.text().await;
            let value: Value = serde_json::from_str(&text).unwrap();
            match value["kind"].as_str() {
                Some("gap") => told.push((events.len(), value)),
                _ => events.push(text),
            }
        }
        assert_eq!(events, expected);
        let before = 100 - skipped;
        let skip = json!({"kind": "gap", "time_us": time_of(100),
            "gap": {"cause": "skipped", "from": 101, "to": behind}});
        let outdated = json!({"kind": "gap", "time_us": time_of(100),
            "gap": {"cause": "upstream_outdated", "from": behind, "to": behind, "events": 2,
                "source": "wss://relay.example/", "sourceFrom": 7, "sourceTo": 9}});
        assert_eq!(told, [(before, skip), (before, outdated)]);
    }
    world.end().await;
}

#[tokio::test]
async fn a_cursor_older_than_the_log_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut appender = open(folder.path());
    let lines = append(&mut appender, 10);
    drop(appender);
    let world = serve(folder.path()).await;
    let query = format!("cursor={}&gaps=true", time_of(0));
    let mut client = world.connect(&query).await;
    let told: Value = serde_json::from_str(&client.text().await).unwrap();
    assert_eq!(told["gap"], json!({"cause": "trimmed", "from": 1, "to": 1}));
    assert_eq!(client.texts(10).await, lines);
    world.end().await;
}
