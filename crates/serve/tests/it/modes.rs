//! Events compressed in batches and as streams.

use std::collections::VecDeque;
use std::io::Read;

use jetwash::Dictionary;
use jetwash::event::BinaryEvent;
use jetwash_serve::ServeOptions;
use tokio_tungstenite::tungstenite::Message;

use crate::client::Client;
use crate::frames::trained;
use crate::log::{World, lines, soon};

/// A subscriber that gets lines in one of the ways that there are.
pub(crate) struct Lines {
    pub(crate) client: Client,
    packing: Packing,
    pub(crate) ready: VecDeque<String>,
}

/// How lines come, and what is needed to read them.
enum Packing {
    Text,
    Frames(Vec<u8>),
    Stream(Box<zstd::stream::raw::Decoder<'static>>),
}

impl Lines {
    /// Connects; the mode is a value of the parameter `compress`.
    pub(crate) async fn connect(world: &World, mode: &str, query: &str) -> Self {
        let query = format!("compress={mode}&{query}");
        let client = world.connect(&query).await;
        let dictionary = world.jetstream.dictionary();
        let bytes = dictionary.map_or_else(Vec::new, |dictionary| dictionary.bytes().to_vec());
        let packing = match mode {
            "true" | "batch" => Packing::Frames(bytes),
            "stream" => {
                let decoder = zstd::stream::raw::Decoder::with_dictionary(&bytes).unwrap();
                Packing::Stream(Box::new(decoder))
            }
            _ => Packing::Text,
        };
        Self {
            client,
            packing,
            ready: VecDeque::new(),
        }
    }

    pub(crate) async fn line(&mut self) -> String {
        while self.ready.is_empty() {
            let message = self.client.message().await;
            self.unpack(message);
        }
        self.ready.pop_front().unwrap()
    }

    pub(crate) async fn lines(&mut self, count: usize) -> Vec<String> {
        let mut lines = Vec::with_capacity(count);
        while lines.len() < count {
            lines.push(self.line().await);
        }
        lines
    }

    /// Reads the messages before the notice that the live end has been met.
    pub(crate) async fn playback(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.line().await;
            if line.starts_with(r#"{"kind":"caughtUp""#) {
                return lines;
            }
            lines.push(line);
        }
    }

    /// Takes a message apart, and says how many lines it had.
    pub(crate) fn unpack(&mut self, message: Message) -> usize {
        let text = match (&mut self.packing, message) {
            (Packing::Text, Message::Text(text)) => text.as_str().to_owned(),
            (Packing::Frames(dictionary), Message::Binary(frame)) => {
                let decoder = zstd::stream::read::Decoder::with_dictionary(&*frame, dictionary);
                let mut text = String::new();
                decoder.unwrap().read_to_string(&mut text).unwrap();
                assert!(!text.ends_with('\n'), "a newline after the last line");
                text
            }
            (Packing::Stream(decoder), Message::Binary(piece)) => {
                let mut text = String::from_utf8(unpack_piece(decoder, &piece)).unwrap();
                assert_eq!(text.pop(), Some('\n'), "a line without its end");
                text
            }
            (_, message) => panic!("not what was asked for: {message:?}"),
        };
        let before = self.ready.len();
        self.ready.extend(text.split('\n').map(str::to_owned));
        self.ready.len() - before
    }
}

fn unpack_piece(decoder: &mut zstd::stream::raw::Decoder<'static>, piece: &[u8]) -> Vec<u8> {
    use zstd::stream::raw::Operation;
    let (mut unpacked, mut read) = (Vec::new(), 0);
    let mut room = vec![0; 1 << 16];
    loop {
        let status = decoder.run_on_buffers(&piece[read..], &mut room).unwrap();
        unpacked.extend_from_slice(&room[..status.bytes_written]);
        read += status.bytes_read;
        if read == piece.len() && status.bytes_written < room.len() {
            return unpacked;
        }
    }
}

async fn world(frames: usize) -> (World, Dictionary) {
    let dictionary = trained().await;
    let world = World::start(ServeOptions::default(), Some(dictionary.clone())).await;
    world.push(frames).await;
    (world, dictionary)
}

#[tokio::test]
async fn playback_in_batches_has_up_to_64_events_in_a_frame() {
    let (world, _) = world(1000).await;
    let log = lines(&world.log());
    let mut client = Lines::connect(&world, "batch", "cursor=0").await;
    let (mut seen, mut messages, mut bytes) = (Vec::new(), 0, 0);
    while seen.len() < log.len() {
        let message = client.client.message().await;
        bytes += message.len();
        let count = client.unpack(message);
        assert!((1..=64).contains(&count), "{count} events in a frame");
        seen.extend(client.ready.drain(..));
        messages += 1;
    }
    assert_eq!(seen, log);
    assert!(messages * 16 < log.len(), "{messages} of {}", log.len());
    let mut single = Lines::connect(&world, "true", "cursor=0").await;
    let mut singles = 0;
    for _ in &log {
        singles += single.client.message().await.len();
    }
    assert!(bytes < singles, "{bytes} against {singles} bytes");
}

#[tokio::test]
async fn playback_in_batches_begins_with_the_event_at_the_cursor() {
    let (world, _) = world(300).await;
    let log = world.log();
    for index in [0, 1, 30, 63, 64, 65, 150] {
        let query = format!("cursor={}&caughtUp=true", log[index].time_us);
        let mut client = Lines::connect(&world, "batch", &query).await;
        let found = client.playback().await;
        assert_eq!(found, lines(&log[index..]), "{index}");
    }
}

#[tokio::test]
async fn a_batch_is_the_same_for_all_who_want_it() {
    let (world, _) = world(500).await;
    let mut first = world.connect("cursor=0&compress=batch").await;
    let mut second = world.connect("cursor=0&compress=batch").await;
    for _ in 0..world.log().len() / 64 {
        assert_eq!(first.binary().await, second.binary().await);
    }
}

#[tokio::test]
async fn live_events_come_in_batches_as_they_come() {
    let (world, _) = world(10).await;
    let before = world.log().len();
    let mut client = Lines::connect(&world, "batch", "").await;
    client.client.settle().await;
    for frames in [1, 5, 200, 1, 40] {
        world.push(frames).await;
    }
    let log = world.log();
    let expected = lines(&log[before..]);
    assert_eq!(client.lines(expected.len()).await, expected);
}

#[tokio::test]
async fn a_reader_with_a_filter_gets_the_frames_of_single_events() {
    let (world, _) = world(500).await;
    let filter = "cursor=0&wantedCollections=app.bsky.feed.like";
    let mut batches = world.connect(&format!("{filter}&compress=batch")).await;
    let mut singles = world.connect(&format!("{filter}&compress=true")).await;
    let wanted = world.log();
    let wanted = wanted
        .iter()
        .filter(|entry| entry.collection == "app.bsky.feed.like" || !entry.is_commit());
    for _ in wanted {
        assert_eq!(batches.binary().await, singles.binary().await);
    }
}

#[tokio::test]
async fn a_stream_is_one_frame_in_pieces() {
    let (world, _) = world(1000).await;
    for query in ["cursor=0", "cursor=0&wantedCollections=app.bsky.feed.*"] {
        let query = format!("{query}&caughtUp=true");
        let mut plain = Lines::connect(&world, "", &query).await;
        let mut stream = Lines::connect(&world, "stream", &query).await;
        let expected = plain.playback().await;
        assert!(expected.len() > 500);
        assert_eq!(stream.playback().await, expected);
        // And it continues.
        let before = world.log().len();
        world.push(50).await;
        let count = world.log().len() - before;
        if query.contains("wanted") {
            continue;
        }
        assert_eq!(stream.lines(count).await, plain.lines(count).await);
    }
}

/// A limit on the size of messages holds for the lines, as there is no message of each.
#[tokio::test]
async fn a_stream_leaves_out_lines_that_are_too_long() {
    let (world, _) = world(200).await;
    let query = "cursor=0&maxMessageSizeBytes=400&caughtUp=true";
    let mut stream = Lines::connect(&world, "stream", query).await;
    let mut expected = lines(&world.log());
    let all = expected.len();
    expected.retain(|line| line.len() <= 400);
    assert!((1..all).contains(&expected.len()));
    assert_eq!(stream.playback().await, expected);
}

#[tokio::test]
async fn there_are_but_so_many_streams() {
    let options = ServeOptions::default().max_streams(1);
    let world = World::start(options, None).await;
    let mut first = world.subscribe("compress=stream").await;
    let refusal = Client::try_connect(world.address, "compress=stream", &[]).await;
    let refusal = refusal.err().unwrap();
    assert_eq!(
        (refusal.status, refusal.body.as_str()),
        (503, "too many streaming subscribers")
    );
    // Others are let in, and the place is free when the first has gone.
    world.subscribe("compress=true").await;
    first.settle().await;
    first.close().await;
    let again = async {
        while Client::try_connect(world.address, "compress=stream", &[])
            .await
            .is_err()
        {
            tokio::task::yield_now().await;
        }
    };
    soon(again).await;
}

#[tokio::test]
async fn a_dictionary_can_be_named() {
    let (world, dictionary) = world(50).await;
    let query = format!("cursor=0&compress=true&zstdDictionary={}", dictionary.id());
    let mut named = world.connect(&query).await;
    let mut unnamed = world.connect("cursor=0&compress=true").await;
    for _ in world.log() {
        assert_eq!(named.binary().await, unnamed.binary().await);
    }
}

#[tokio::test]
async fn a_dictionary_that_the_log_does_not_have_is_refused_with_the_one_in_use() {
    let (world, _) = world(1).await;
    for (value, body) in [
        (
            "8",
            "unknown zstdDictionary: 8 (the one in use is 7)".to_owned(),
        ),
        (
            "0",
            "invalid zstdDictionary: 0 (it is the number of a dictionary)".to_owned(),
        ),
        (
            "x",
            "invalid zstdDictionary: x (it is the number of a dictionary)".to_owned(),
        ),
    ] {
        let query = format!("compress=true&zstdDictionary={value}");
        let refusal = Client::try_connect(world.address, &query, &[]).await;
        let refusal = refusal.err().unwrap();
        assert_eq!((refusal.status, refusal.body), (400, body));
    }
}

/// The dictionary that binary events are compressed with here, and a world where it is known.
async fn binary_world(frames: usize) -> (World, Dictionary) {
    let samples = World::with(500).await;
    let samples = samples.log().into_iter().map(|entry| {
        let mut binary = Vec::new();
        let mut encoder = jetwash::event::BinaryEncoder::new();
        encoder.encode(&entry.json, &mut binary).unwrap();
        binary
    });
    let dictionary = Dictionary::train(samples, 4096, 9).unwrap();
    let options = ServeOptions::default().binary_dictionary(dictionary.clone());
    let world = World::start(options, Some(trained().await)).await;
    world.push(frames).await;
    (world, dictionary)
}

/// The lines of binary events that follow each other.
fn to_lines(mut bytes: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    while !bytes.is_empty() {
        // Where an item ends is known to a reader that is not ours.
        let mut rest = bytes;
        let item: ipld_core::ipld::Ipld =
            serde_ipld_dagcbor::de::from_reader_once(&mut rest).unwrap();
        assert!(matches!(item, ipld_core::ipld::Ipld::Map(_)));
        let (one, after) = bytes.split_at(bytes.len() - rest.len());
        let event = BinaryEvent::parse(one).unwrap();
        let mut line = Vec::new();
        let mut encoder = jetwash::event::Encoder::new();
        encoder
            .encode(&event.draft(), event.time_us(), &mut line)
            .unwrap();
        lines.push(String::from_utf8(line).unwrap());
        bytes = after;
    }
    lines
}

#[tokio::test]
async fn binary_events_say_what_the_lines_say_in_every_packing() {
    let (world, dictionary) = binary_world(300).await;
    let before = lines(&world.log());
    for mode in ["no", "true", "batch", "stream"] {
        let query = format!("cursor=0&format=binary&compress={mode}");
        let mut client = world.connect(&query).await;
        client.settle().await;
        world.push(20).await;
        let log = lines(&world.log());
        let mut stream = zstd::stream::raw::Decoder::with_dictionary(dictionary.bytes()).unwrap();
        let mut seen = Vec::new();
        while seen.len() < log.len() {
            let message = client.binary().await;
            let unpacked = match mode {
                "no" => message,
                "stream" => unpack_piece(&mut stream, &message),
                _ => {
                    let mut unpacked = Vec::new();
                    zstd::stream::read::Decoder::with_dictionary(&*message, dictionary.bytes())
                        .unwrap()
                        .read_to_end(&mut unpacked)
                        .unwrap();
                    unpacked
                }
            };
            seen.extend(to_lines(&unpacked));
        }
        assert_eq!(seen, log, "{mode}");
    }
    assert!(before.len() > 300);
}

#[tokio::test]
async fn a_notice_to_a_reader_of_binary_events_is_binary() {
    let (world, _) = binary_world(5).await;
    let log = world.log();
    let mut client = world.connect("cursor=0&format=binary&caughtUp=true").await;
    for _ in &log {
        client.binary().await;
    }
    let time_us = log.last().unwrap().time_us;
    let notice = client.binary().await;
    let notice: serde_json::Value = serde_ipld_dagcbor::from_slice(&notice).unwrap();
    assert_eq!(
        notice,
        serde_json::json!({"kind": "caughtUp", "time_us": time_us})
    );
}

/// A server of Jetstream takes other values of the parameter for no, and sends text.
#[tokio::test]
async fn other_values_of_compress_mean_no() {
    let (world, _) = world(10).await;
    let mut client = world.connect("cursor=0&compress=batches").await;
    assert_eq!(client.text().await, world.log()[0].json);
}
