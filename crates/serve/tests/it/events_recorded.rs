//! Frames that the official server of version 2 was given too, and the messages that it sent.

use std::collections::HashMap;

use jetwash::Dictionary;
use jetwash_corpus::Corpus;
use jetwash_serve::ServeOptions;
use serde_json::Value;

use crate::events::connect;
use crate::log::World;

/// Both servers keep the order of each account's events, but not that between accounts, and have
/// positions and times of their own.
fn by_account(messages: impl IntoIterator<Item = String>) -> HashMap<String, Vec<String>> {
    let mut accounts: HashMap<String, Vec<String>> = HashMap::new();
    for message in messages {
        let value: Value = serde_json::from_str(&message).unwrap();
        let did = value["payload"]["did"].as_str().unwrap().to_owned();
        accounts
            .entry(did)
            .or_default()
            .push(without_position(&message));
    }
    accounts
}

/// A message without the digits of its position and time, which are its last fields but for that
/// of a sync.
fn without_position(message: &str) -> String {
    let seq = message.rfind(r#""seq":"#).unwrap() + 6;
    let rest = &message[seq..];
    let digits = rest.find(',').unwrap();
    let rest = &rest[digits..];
    let time = rest.rfind(r#""time":""#).unwrap() + 8;
    format!("{}{}\"}}}}", &message[..seq], &rest[..time])
}

/// Whether the official server sends a message only for what it did itself: it has a sync for an
/// account whose repository it fetched anew, and leaves out what relays send.
fn is_ours_alone(message: &str) -> bool {
    message.contains(r##"subscribeEvents#sync","##)
}

/// Feeds frames to a server and compares what it sends, live, in playback and compressed with the
/// official dictionary, with what was recorded.
async fn compare(corpus: &Corpus, folder: &str, count: u64, syncs: usize) {
    let bytes = corpus.bytes("dictionaries/subscribe_events_20260811.zdict");
    let dictionary = Dictionary::from_bytes(bytes.clone()).unwrap();
    let options = ServeOptions::default().v2_dictionary(dictionary);
    let world = World::start(options, None).await;
    let mut live = connect(&world, "").await;
    live.settle().await;
    let mut compressed = connect(&world, "zstdDictionary=20260811").await;
    compressed.settle().await;
    let frames = corpus.frames(&format!("{folder}/frames.bin.zst"));
    world.push_frames(frames, count).await;
    let mut played = connect(&world, "cursor=1").await;
    let mut decoder = zstd::bulk::Decompressor::with_dictionary(&bytes).unwrap();
    let mut messages = Vec::new();
    for seq in 1..=count {
        let message = live.text().await;
        assert_eq!(played.text().await, message);
        let frame = compressed.binary().await;
        let decoded = decoder.decompress(&frame, 1 << 20).unwrap();
        assert_eq!(decoded, message.as_bytes());
        let value: Value = serde_json::from_str(&message).unwrap();
        assert_eq!(value["payload"]["seq"], seq);
        messages.push(message);
    }
    assert_eq!(world.jetstream.bounds().next_seq.get(), count + 1);
    let before = messages.len();
    messages.retain(|message| !is_ours_alone(message));
    assert_eq!(before - messages.len(), syncs);
    let expected = by_account(corpus.lines(&format!("{folder}/expected_v2.jsonl")));
    let found = by_account(messages);
    for (did, expected) in &expected {
        let found = found.get(did).map_or(&[][..], Vec::as_slice);
        for (found, expected) in found.iter().zip(expected) {
            assert_eq!(found, expected);
        }
        assert_eq!(found.len(), expected.len(), "{did}");
    }
    assert_eq!(found.len(), expected.len());
}

#[tokio::test]
async fn real_frames_give_the_messages_of_the_official_server_over_the_socket() {
    let Some(corpus) = jetwash_corpus::corpus("real frames as messages of version 2") else {
        return;
    };
    compare(&corpus, "firehose-2026-07-04", 102, 0).await;
}

#[tokio::test]
async fn simulated_frames_give_the_messages_of_the_official_server_over_the_socket() {
    let Some(corpus) = jetwash_corpus::corpus("simulated frames as messages of version 2") else {
        return;
    };
    compare(&corpus, "v2-wire", 565 + 6, 6).await;
}
