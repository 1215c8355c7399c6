//! Readers of old events in version 2, whose messages are made from the lines of the log: alone, and
//! once for several readers.

use jetwash::store::Options;
use jetwash::{Dictionary, Jetstream};
use jetwash_serve::ServeOptions;
use serde_json::Value;

use crate::client::{Client, Raw};
use crate::events::{ROUTE, connect, messages, playback};
use crate::gaps;
use crate::log::World;

/// A dictionary for messages of version 2.
async fn dictionary(id: u32) -> Dictionary {
    let world = World::with(300).await;
    let mut client = connect(&world, "cursor=1&caughtUp=true").await;
    let samples = playback(&mut client).await;
    let samples = samples.iter().map(Value::to_string);
    Dictionary::train(samples, 4096, id).unwrap()
}

/// A log of many blocks.
async fn world(options: ServeOptions, dictionary: &Dictionary) -> World {
    let builder = Jetstream::builder()
        .dictionary(dictionary.clone())
        .store_options(Options::default().block_events(64));
    World::start_with(builder, options).await
}

fn unpack(frame: &[u8], dictionary: &Dictionary) -> Value {
    let mut decoder = zstd::bulk::Decompressor::with_dictionary(dictionary.bytes()).unwrap();
    serde_json::from_slice(&decoder.decompress(frame, 1 << 20).unwrap()).unwrap()
}

/// Reads compressed messages until the playback has met the live end.
async fn compressed(client: &mut Client, dictionary: &Dictionary) -> Vec<Value> {
    let mut messages = Vec::new();
    loop {
        let message = unpack(&client.binary().await, dictionary);
        if message["payload"]["name"] == "CaughtUp" {
            return messages;
        }
        messages.push(message);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_at_the_same_place_and_at_others_get_the_same_messages() {
    let own = dictionary(7001).await;
    let options = ServeOptions::default().v2_dictionary(own.clone());
    let world = world(options, &dictionary(7002).await).await;
    world.push(700).await;
    let expected = messages(&world.log());
    let mut readers = Vec::new();
    for number in 0..12 {
        let from = 1 + number / 4 * 300;
        let is_compressed = number % 2 == 1;
        let query = if is_compressed {
            "&zstdDictionary=7001"
        } else {
            ""
        };
        let query = format!("cursor={from}&caughtUp=true{query}");
        let (mut client, own) = (connect(&world, &query).await, own.clone());
        readers.push((
            from,
            tokio::spawn(async move {
                if is_compressed {
                    compressed(&mut client, &own).await
                } else {
                    playback(&mut client).await
                }
            }),
        ));
    }
    for (from, reader) in readers {
        let found = reader.await.unwrap();
        let first = found[0]["payload"]["seq"].as_u64().unwrap();
        assert!(first == from || first == from + 1, "{first} for {from}");
        assert_eq!(found, expected[first as usize - 1..]);
    }
}

#[tokio::test]
async fn a_reader_that_wants_little_gets_it_compressed_alone() {
    let own = dictionary(7001).await;
    let world = world(ServeOptions::default(), &own).await;
    world.push(700).await;
    let expected = messages(&world.log());
    for (axis, wanted) in [
        (
            "collections=app.bsky.graph.follow&kinds=commit",
            "app.bsky.graph.follow",
        ),
        (
            "collections=app.bsky.feed.like&kinds=commit",
            "app.bsky.feed.like",
        ),
    ] {
        let is_wanted = |message: &&Value| message["payload"]["collection"] == wanted;
        let expected: Vec<Value> = expected.iter().filter(is_wanted).cloned().collect();
        assert!(expected.len() > 10, "{wanted}");
        let query = format!("cursor=1&caughtUp=true&{axis}");
        // The first finds nothing made, and the last what a reader of everything has had made.
        for _ in 0..2 {
            let mut plain = connect(&world, &query).await;
            assert_eq!(playback(&mut plain).await, expected);
            let mut packed = connect(&world, &format!("{query}&zstdDictionary=7001")).await;
            assert_eq!(compressed(&mut packed, &own).await, expected);
            let mut all = connect(&world, "cursor=1&caughtUp=true&zstdDictionary=7001").await;
            compressed(&mut all, &own).await;
        }
    }
}

#[tokio::test]
async fn a_limit_is_compared_with_the_message_that_is_made_for_it() {
    let own = dictionary(7001).await;
    let world = world(ServeOptions::default(), &own).await;
    world.push(500).await;
    let mut client = connect(&world, "cursor=1&caughtUp=true").await;
    let mut sizes = Vec::new();
    loop {
        let text = client.text().await;
        if text.contains("CaughtUp") {
            break;
        }
        sizes.push((text.len(), serde_json::from_str::<Value>(&text).unwrap()));
    }
    let limit = sizes[sizes.len() / 2].0;
    let expected: Vec<Value> = sizes
        .into_iter()
        .filter(|(size, _)| *size <= limit)
        .map(|(_, message)| message)
        .collect();
    let query = format!("cursor=1&caughtUp=true&maxMessageSizeBytes={limit}");
    let mut plain = connect(&world, &query).await;
    assert_eq!(playback(&mut plain).await, expected);
    let mut packed = connect(&world, &format!("{query}&zstdDictionary=7001")).await;
    assert_eq!(compressed(&mut packed, &own).await, expected);
}

/// The old events are compressed anew, whatever they are stored with.
#[tokio::test]
async fn playback_across_a_rotation_is_compressed_with_the_dictionary_that_was_asked_for() {
    let (first, second) = (dictionary(1).await, dictionary(2).await);
    let world = world(ServeOptions::default(), &first).await;
    world.push(200).await;
    let mut before = connect(&world, "zstdDictionary=1&cursor=1&caughtUp=true").await;
    assert_eq!(
        compressed(&mut before, &first).await,
        messages(&world.log())
    );
    world
        .jetstream
        .rotate_dictionary(second.clone())
        .await
        .unwrap();
    world.push(200).await;
    let expected = messages(&world.log());
    let mut after = Vec::new();
    for _ in 0..3 {
        after.push(connect(&world, "zstdDictionary=2&cursor=1&caughtUp=true").await);
    }
    for client in &mut after {
        assert_eq!(compressed(client, &second).await, expected);
    }
}

#[tokio::test]
async fn damage_on_disk_costs_one_block_in_each_form() {
    let own = dictionary(7001).await;
    for part in [0, 1] {
        let (folder, lines) = gaps::damaged(part);
        let options = ServeOptions::default().v2_dictionary(own.clone());
        let world = World::start_with(gaps::builder(folder.path()), options).await;
        let seqs: Vec<u64> = (1..=640).filter(|seq| !(257..=320).contains(seq)).collect();
        assert_eq!(seqs.len(), lines.len());
        for _ in 0..3 {
            let mut plain = connect(&world, "cursor=1&caughtUp=true").await;
            let query = "cursor=1&caughtUp=true&zstdDictionary=7001";
            let mut packed = connect(&world, query).await;
            for found in [
                playback(&mut plain).await,
                compressed(&mut packed, &own).await,
            ] {
                let found = found
                    .iter()
                    .map(|it| it["payload"]["seq"].as_u64().unwrap());
                assert_eq!(found.collect::<Vec<_>>(), seqs);
            }
        }
        world.end().await;
    }
}

/// Its socket takes nothing for a while, so that it comes to blocks that others have left.
#[tokio::test]
async fn a_slow_reader_among_fast_ones_loses_nothing() {
    let own = dictionary(7001).await;
    let builder = Jetstream::builder()
        .dictionary(own.clone())
        .store_options(Options::default().block_events(64));
    let world = World::start_narrow_with(builder, ServeOptions::default()).await;
    world.push(700).await;
    let expected = messages(&world.log());
    let mut slow = Vec::new();
    for query in ["cursor=1", "cursor=1&zstdDictionary=7001"] {
        let mut client = Raw::connect(world.address).await;
        let head = client.upgrade(ROUTE, query, "").await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        slow.push(client);
    }
    for _ in 0..3 {
        let mut plain = connect(&world, "cursor=1&caughtUp=true").await;
        assert_eq!(playback(&mut plain).await, expected);
        let query = "cursor=1&caughtUp=true&zstdDictionary=7001";
        let mut packed = connect(&world, query).await;
        assert_eq!(compressed(&mut packed, &own).await, expected);
    }
    let [plain, packed] = &mut slow[..] else {
        unreachable!("there are two");
    };
    for expected in &expected {
        let (first, payload) = plain.frame().await.unwrap();
        let found: Value = serde_json::from_slice(&payload).unwrap();
        assert_eq!((first, &found), (0x81, expected));
        let (first, payload) = packed.frame().await.unwrap();
        assert_eq!((first, &unpack(&payload, &own)), (0x82, expected));
    }
}
