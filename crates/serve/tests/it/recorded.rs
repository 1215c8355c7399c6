//! Real frames, and the lines that production Jetstream sent for them.

use jetwash::Dictionary;
use jetwash_serve::ServeOptions;

use crate::log::World;

const FRAMES: &str = "firehose-2026-07-04/frames.bin.zst";
const LINES: &str = "firehose-2026-07-04/expected_v1.jsonl";

#[tokio::test]
async fn real_frames_give_the_lines_of_production_over_the_socket() {
    let Some(corpus) = jetwash_corpus::corpus("real frames over a socket") else {
        return;
    };
    let bytes = corpus.bytes("dictionaries/legacy_subscribe.zdict");
    let dictionary = Dictionary::from_bytes(bytes.clone()).unwrap();
    let world = World::start(ServeOptions::default(), Some(dictionary)).await;
    let mut live = world.subscribe("").await;
    let mut compressed = world.subscribe("compress=true").await;
    let expected = corpus.lines(LINES);
    assert_eq!(expected.len(), 102);
    world.push_frames(corpus.frames(FRAMES), 102).await;
    let mut played = world.connect("cursor=0").await;
    let mut decoder = zstd::bulk::Decompressor::with_dictionary(&bytes).unwrap();
    let mut last = 0;
    for expected in expected {
        let line = live.text().await;
        assert_eq!(played.text().await, line);
        let frame = compressed.binary().await;
        assert_eq!(
            decoder.decompress(&frame, 1 << 20).unwrap(),
            line.as_bytes()
        );
        let (line, time_us) = without_time(&line);
        assert_eq!(line, without_time(&expected).0);
        assert!(time_us > last, "times grow strictly");
        last = time_us;
    }
}

/// A line with the digits of `time_us` left out, and those digits.
fn without_time(line: &str) -> (String, u64) {
    let start = line.find(r#""time_us":"#).expect("a line without time_us") + 10;
    let end = start + line[start..].find(',').unwrap();
    let rest = format!("{}{}", &line[..start], &line[end..]);
    (rest, line[start..end].parse().unwrap())
}
