//! The compressed messages that events are sent in.

use jetwash::Dictionary;
use jetwash_serve::ServeOptions;
use tokio_tungstenite::tungstenite::Message;

use crate::log::{World, lines};

/// A dictionary for what the simulated network says.
pub(crate) async fn trained() -> Dictionary {
    let world = World::with(2000).await;
    let samples = world.log().into_iter().map(|entry| entry.json);
    Dictionary::train(samples, 16 * 1024, 7).unwrap()
}

/// Takes a frame apart with the library that Jetstream's own clients use.
struct Decoder(zstd::bulk::Decompressor<'static>);

impl Decoder {
    fn new(dictionary: &[u8]) -> Self {
        Self(zstd::bulk::Decompressor::with_dictionary(dictionary).unwrap())
    }

    fn text(&mut self, frame: &[u8]) -> String {
        String::from_utf8(self.0.decompress(frame, 1 << 20).unwrap()).unwrap()
    }
}

#[tokio::test]
async fn each_event_is_one_text_message_without_a_newline() {
    let world = World::with(100).await;
    let log = world.log();
    let mut client = world.connect("cursor=0").await;
    for entry in &log {
        let Message::Text(text) = client.message().await else {
            panic!("not text");
        };
        assert_eq!(text.as_str(), entry.json);
        assert!(text.ends_with('}'));
    }
}

#[tokio::test]
async fn compressed_events_are_standalone_frames_that_name_the_dictionary() {
    let dictionary = trained().await;
    let world = World::start(ServeOptions::default(), Some(dictionary.clone())).await;
    world.push(200).await;
    let mut client = world.connect("cursor=0&compress=true").await;
    let (mut sent, mut plain) = (0, 0);
    for entry in world.log() {
        let frame = client.binary().await;
        // A decoder for each: nothing carries over from one message to the next.
        assert_eq!(Decoder::new(dictionary.bytes()).text(&frame), entry.json);
        assert_eq!(
            frame[..4],
            0xfd2f_b528_u32.to_le_bytes(),
            "zstd's magic number"
        );
        let flags = frame[4];
        assert!(flags & 0b11 != 0, "no dictionary named");
        let start = if flags & 0b10_0000 == 0 { 6 } else { 5 };
        assert_eq!(frame[start], 7, "the number of another dictionary");
        sent += frame.len();
        plain += entry.json.len();
    }
    assert!(sent * 2 < plain, "{sent} of {plain} bytes");
}

#[tokio::test]
async fn without_a_dictionary_compressed_events_are_plain_zstd() {
    let world = World::with(50).await;
    let mut client = world.connect("cursor=0&compress=true").await;
    for entry in world.log() {
        let frame = client.binary().await;
        assert_eq!(zstd::decode_all(&frame[..]).unwrap(), entry.json.as_bytes());
    }
}

#[tokio::test]
async fn the_official_dictionary_can_be_the_servers() {
    let Some(corpus) = jetwash_corpus::corpus("the official dictionary over a socket") else {
        return;
    };
    let bytes = corpus.bytes("dictionaries/legacy_subscribe.zdict");
    let dictionary = Dictionary::from_bytes(bytes.clone()).unwrap();
    let world = World::start(ServeOptions::default(), Some(dictionary)).await;
    world.push(200).await;
    let mut decoder = Decoder::new(&bytes);
    let mut client = world.connect("cursor=0&compress=true").await;
    for entry in world.log() {
        assert_eq!(decoder.text(&client.binary().await), entry.json);
    }
}

#[tokio::test]
async fn the_size_limit_is_that_of_the_bytes_sent() {
    let dictionary = trained().await;
    let world = World::start(ServeOptions::default(), Some(dictionary.clone())).await;
    world.push(200).await;
    let mut decoder = Decoder::new(dictionary.bytes());
    let log = world.log();
    let mut client = world.connect("cursor=0&compress=true").await;
    let mut frames = Vec::new();
    for _ in &log {
        frames.push(client.binary().await);
    }
    let limit = frames[log.len() / 2].len();
    let expected: Vec<_> = frames
        .into_iter()
        .filter(|frame| frame.len() <= limit)
        .collect();
    assert!(expected.len() < log.len());
    assert!(
        expected
            .iter()
            .any(|frame| decoder.text(frame).len() > limit)
    );
    let query = format!("cursor=0&compress=true&caughtUp=true&maxMessageSizeBytes={limit}");
    let mut client = world.connect(&query).await;
    for frame in expected {
        assert_eq!(client.binary().await, frame);
    }
    let notice = decoder.text(&client.binary().await);
    assert!(notice.starts_with(r#"{"kind":"caughtUp""#), "{notice}");
}

#[tokio::test]
async fn live_events_are_those_of_the_playback_byte_for_byte() {
    let dictionary = trained().await;
    for dictionary in [None, Some(dictionary)] {
        let world = World::start(ServeOptions::default(), dictionary).await;
        for query in ["compress=false", "compress=true", "format=v0"] {
            let before = world.log().len();
            let mut live = world.subscribe(query).await;
            for frames in [1, 2, 60, 1, 30] {
                world.push(frames).await;
            }
            let log = world.log();
            let since = log[before].time_us;
            let mut played = world.connect(&format!("cursor={since}&{query}")).await;
            for _ in &log[before..] {
                assert_eq!(live.message().await, played.message().await);
            }
        }
    }
}

#[tokio::test]
async fn the_first_shape_of_jetstream_is_there_for_who_asks() {
    let world = World::with(300).await;
    let log = world.log();
    let mut client = world.connect("cursor=0&format=v0").await;
    let mut seen = std::collections::BTreeSet::new();
    for entry in &log {
        // The names, and nothing else, are others. None of them occurs in the head before.
        let kind = [
            (r#","kind":"commit","#, r#","type":"com","#),
            (r#","kind":"identity","#, r#","type":"id","#),
            (r#","kind":"account","#, r#","type":"acc","#),
        ];
        let operation = [
            (r#"","operation":"create","#, r#"","type":"c","#),
            (r#"","operation":"update","#, r#"","type":"u","#),
            (r#"","operation":"delete","#, r#"","type":"d","#),
        ];
        let mut expected = entry.json.clone();
        for (new, old) in kind.into_iter().chain(operation) {
            if expected.contains(new) {
                expected = expected.replacen(new, old, 1);
                seen.insert(old);
            }
        }
        assert_eq!(client.text().await, expected);
    }
    assert_eq!(seen.len(), 6, "not all sorts occurred: {seen:?}");
    let plain = world
        .connect("cursor=0&format=v1&caughtUp=true")
        .await
        .playback()
        .await;
    assert_eq!(plain, lines(&log));
}

/// An event waits for others only so long, and a lone one is not forgotten.
#[tokio::test]
async fn single_events_arrive_with_any_delay_configured() {
    for millis in [0, 1, 300] {
        let delay = std::time::Duration::from_millis(millis);
        let world = World::start(ServeOptions::default().max_delay(delay), None).await;
        let mut client = world.subscribe("").await;
        for _ in 0..5 {
            let before = world.log().len();
            world.push(1).await;
            let expected = lines(&world.log()[before..]);
            assert_eq!(client.texts(expected.len()).await, expected);
        }
    }
}
