//! Syncs of repositories: on version 2 as any event, and on the route of version 1 never.

use jetwash::event::BinaryEvent;
use jetwash_serve::ServeOptions;
use jetwash_sim::{ManualNetwork, SimChange, did};
use serde_json::{Value, json};

use crate::events::{connect, message, messages, playback};
use crate::frames::trained;
use crate::log::{World, lines};
use crate::modes::Lines;

/// Whether a query is to give a message.
type Wanted<'a> = &'a dyn Fn(&Value) -> bool;

/// Frames of three accounts with syncs at the beginning, in a row, and at the end.
fn frames() -> Vec<Vec<u8>> {
    let mut network = ManualNetwork::new();
    let mut changes = vec![SimChange::sync(did(0)), SimChange::sync(did(1))];
    for number in 0..200_u64 {
        let note = json!({"$type": "com.example.note", "text": number.to_string()});
        let key = number.to_string();
        changes.push(SimChange::create(
            did(number % 3),
            "com.example.note",
            &key,
            note,
        ));
        if number % 20 < 3 {
            changes.push(SimChange::sync(did(number % 3)));
        }
    }
    changes.push(SimChange::sync(did(2)));
    let frames = changes.iter().map(|change| network.apply(change).unwrap());
    frames.map(|frame| frame.bytes).collect()
}

/// A log of all these frames.
async fn world() -> World {
    let world = World::start(ServeOptions::default(), Some(trained().await)).await;
    push(&world).await;
    assert_eq!(
        world
            .events()
            .iter()
            .filter(|entry| entry.is_sync())
            .count(),
        33
    );
    world
}

async fn push(world: &World) {
    let frames = frames();
    let count = frames.len() as u64;
    world.push_frames(frames, count).await;
}

#[tokio::test]
async fn version_1_sends_none_in_any_packing_live_or_in_playback() {
    let world = World::start(ServeOptions::default(), Some(trained().await)).await;
    let mut live = Vec::new();
    for mode in ["", "true", "batch", "stream"] {
        let mut client = Lines::connect(&world, mode, "").await;
        client.client.settle().await;
        live.push(client);
    }
    push(&world).await;
    let expected = lines(&world.log());
    assert_eq!(expected.len(), 200);
    for mut client in live {
        assert_eq!(client.lines(expected.len()).await, expected);
    }
    for mode in ["", "true", "batch", "stream"] {
        let mut client = Lines::connect(&world, mode, "cursor=0&caughtUp=true").await;
        assert_eq!(client.playback().await, expected, "{mode}");
    }
    // Nor in the shapes that are only ours, or with a field more.
    for query in ["format=v0", "verdict=true", "cursor=seq"] {
        let query = format!("cursor=0&caughtUp=true&{query}");
        let found = world.connect(&query).await.playback().await;
        assert_eq!(found.len(), expected.len(), "{query}");
        assert!(found.iter().all(|line| !line.contains("sync")), "{query}");
    }
    let mut binary = world.connect("cursor=0&format=binary").await;
    for entry in world.log() {
        let message = binary.binary().await;
        let event = BinaryEvent::parse(&message).unwrap();
        assert_eq!(event.time_us().get(), entry.time_us);
    }
}

#[tokio::test]
async fn batches_of_version_1_stay_whole_around_syncs() {
    let world = world().await;
    let mut client = Lines::connect(&world, "batch", "cursor=0").await;
    let (mut seen, mut messages) = (0, 0);
    while seen < 200 {
        let message = client.client.message().await;
        seen += client.unpack(message);
        messages += 1;
    }
    // 233 events are four batches of up to 64, and the syncs leave no empty line.
    assert!(messages <= 8, "{messages}");
    assert!(client.ready.iter().all(|line| line.starts_with('{')));
}

#[tokio::test]
async fn version_2_sends_them_live_in_playback_and_compressed() {
    let dictionary = trained().await;
    let world = World::start(ServeOptions::default(), Some(dictionary.clone())).await;
    let mut live = connect(&world, "").await;
    live.settle().await;
    let compressed = format!("zstdDictionary={}", dictionary.id());
    let mut compressed = connect(&world, &compressed).await;
    compressed.settle().await;
    push(&world).await;
    let expected = messages(&world.events());
    assert_eq!(expected.len(), 233);
    for expected in &expected {
        let found: Value = serde_json::from_str(&live.text().await).unwrap();
        assert_eq!(found, *expected);
        let mut text = Vec::new();
        let frame = compressed.binary().await;
        dictionary
            .decompressor()
            .decompress(&frame, 1 << 20, &mut text)
            .unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&text).unwrap(), *expected);
    }
    let played = playback(&mut connect(&world, "cursor=1&caughtUp=true").await).await;
    assert_eq!(played, expected);
}

#[tokio::test]
async fn a_reader_of_all_but_syncs_gets_none_live_or_in_playback() {
    let dictionary = trained().await;
    let world = World::start(ServeOptions::default(), Some(dictionary.clone())).await;
    let all_but_syncs = "kinds=commit&kinds=identity&kinds=account";
    let mut live = connect(&world, all_but_syncs).await;
    live.settle().await;
    // Few at a time, so that the reader is at the end of the log.
    for frames in frames().chunks(10) {
        let before = world.events().len();
        world
            .push_frames(frames.to_vec(), frames.len() as u64)
            .await;
        for entry in &world.events()[before..] {
            if !entry.is_sync() {
                let found: Value = serde_json::from_str(&live.text().await).unwrap();
                assert_eq!(found, message(entry));
            }
        }
    }
    let expected = messages(&world.log());
    assert_eq!(expected.len(), 200);
    let query = format!("cursor=1&caughtUp=true&{all_but_syncs}");
    assert_eq!(playback(&mut connect(&world, &query).await).await, expected);
}

#[tokio::test]
async fn kinds_and_dids_apply_to_them_and_collections_do_not() {
    let world = world().await;
    let all = messages(&world.events());
    let is_sync = |message: &Value| !message["payload"]["sync"].is_null();
    let of = |message: &Value, account: u64| message["payload"]["did"] == did(account);
    let rows: &[(String, Wanted<'_>)] = &[
        ("kinds=sync".to_owned(), &is_sync),
        ("kinds=commit".to_owned(), &|message| !is_sync(message)),
        ("kinds=identity&kinds=account".to_owned(), &|_| false),
        (format!("dids={}", did(1)), &|message| of(message, 1)),
        (format!("kinds=sync&dids={}", did(1)), &|message| {
            is_sync(message) && of(message, 1)
        }),
        ("collections=com.example.other".to_owned(), &is_sync),
        (
            format!("collections=com.example.other&dids={}", did(2)),
            &|message| is_sync(message) && of(message, 2),
        ),
    ];
    for (query, wants) in rows {
        let query = format!("cursor=1&caughtUp=true&{query}");
        let found = playback(&mut connect(&world, &query).await).await;
        let expected: Vec<_> = all
            .iter()
            .filter(|message| wants(message))
            .cloned()
            .collect();
        assert_eq!(found, expected, "{query}");
    }
}

#[tokio::test]
async fn cursors_at_a_sync_are_exact_in_both_versions() {
    let world = world().await;
    let events = world.events();
    let all = messages(&events);
    for (index, entry) in events
        .iter()
        .enumerate()
        .filter(|(_, entry)| entry.is_sync())
    {
        // The version that has it begins with it, the other with the next event that it has.
        for cursor in [entry.seq, entry.time_us] {
            let query = format!("cursor={cursor}&caughtUp=true");
            let found = playback(&mut connect(&world, &query).await).await;
            assert_eq!(found, all[index..], "{query}");
        }
        let rest = events[index..].iter().filter(|entry| !entry.is_sync());
        for query in [
            format!("cursor={}&caughtUp=true", entry.time_us),
            format!("cursor={}&cursor=seq&caughtUp=true", entry.seq),
        ] {
            let found = world.connect(&query).await.playback().await;
            let times = |line: &String| {
                let line: Value = serde_json::from_str(line).unwrap();
                line["time_us"].as_u64().unwrap()
            };
            let found: Vec<_> = found.iter().map(times).collect();
            let expected: Vec<_> = rest.clone().map(|entry| entry.time_us).collect();
            assert_eq!(found, expected, "{query}");
        }
    }
}

#[tokio::test]
async fn a_subscriber_of_version_1_passes_syncs_and_says_so_in_its_progress() {
    let world = world().await;
    let newest = world.events().pop().unwrap();
    assert!(newest.is_sync());
    let mut client = world.connect("cursor=0&caughtUp=true").await;
    let texts = client.texts(201).await;
    let notice: Value = serde_json::from_str(&texts[200]).unwrap();
    assert_eq!(
        notice,
        json!({"kind": "caughtUp", "time_us": newest.time_us})
    );
}
