//! Real frames against the lines that production Jetstream sent for them.

use jetwash::store::Read;
use jetwash::{Dictionary, Micros};

use crate::{NOW_US, lines, pipeline, without_time};

const FRAMES: &str = "firehose-2026-07-04/frames.bin.zst";
const LINES: &str = "firehose-2026-07-04/expected_v1.jsonl";

#[test]
fn real_frames_give_the_lines_of_production_to_the_byte() {
    let Some(corpus) = jetwash_corpus::corpus("real frames") else {
        return;
    };
    let (mut pipeline, log) = pipeline();
    for frame in corpus.frames(FRAMES) {
        pipeline
            .frame("relay", &frame, Micros::new(NOW_US))
            .unwrap();
    }
    pipeline.commit().unwrap();
    let expected = corpus.lines(LINES);
    let lines = lines(&log);
    assert_eq!((lines.len(), expected.len()), (102, 102));
    let mut last = 0;
    for (line, expected) in lines.iter().zip(&expected) {
        let (line, time_us) = without_time(line);
        assert_eq!(line, without_time(expected).0);
        assert!(time_us > last, "times grow strictly");
        last = time_us;
    }
    let snapshot = pipeline.snapshot();
    assert_eq!((snapshot.frames, snapshot.events), (100, 102));
    assert!(snapshot.dropped.is_empty(), "{:?}", snapshot.dropped);
    assert_eq!(pipeline.cursor("relay"), Some(31_527_015_421));
}

#[test]
fn each_event_decompresses_with_the_official_dictionary() {
    let Some(corpus) = jetwash_corpus::corpus("the official dictionary") else {
        return;
    };
    let bytes = corpus.bytes("dictionaries/legacy_subscribe.zdict");
    let (pipeline, log) = pipeline();
    let mut pipeline = pipeline
        .dictionary(&Dictionary::from_bytes(bytes.clone()).unwrap())
        .unwrap();
    for frame in corpus.frames(FRAMES) {
        pipeline
            .frame("relay", &frame, Micros::new(NOW_US))
            .unwrap();
    }
    pipeline.commit().unwrap();
    // The library's own decoder is not asked: this is the one that clients of Jetstream use.
    let mut decoder = zstd::bulk::Decompressor::with_dictionary(&bytes).unwrap();
    let mut count = 0;
    let mut position = log.bounds().oldest_seq;
    while let Read::Events(run) = log.read(position).unwrap() {
        let frames = run.block().compressed().unwrap().unwrap();
        let json = run.block().json().unwrap();
        for index in run.indexes() {
            let plain = decoder
                .decompress(frames.get(index).unwrap(), 1 << 20)
                .unwrap();
            assert_eq!(plain, json.get(index).unwrap());
            count += 1;
        }
        position = run.next_seq();
    }
    assert_eq!(count, 102);
    let snapshot = pipeline.snapshot();
    let ratio = snapshot.compressed_bytes as f64 / snapshot.json_bytes as f64;
    assert!(ratio < 0.5, "the dictionary is of no use: {ratio}");
}
