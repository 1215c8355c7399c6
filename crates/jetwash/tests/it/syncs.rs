//! `#sync` frames of a relay, without verification; with it they are in `verify`.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use jetwash::frame::FrameKind;
use jetwash::store::{self, Location, Options, Retention, Store};
use jetwash::{Filter, Kind, Micros, Pipeline};
use jetwash_sim::{ManualNetwork, SimChange, SimEvent, SimFrame, did};
use serde_json::{Value, json};

use crate::order::numbered;
use crate::{NOW_US, lines, pipeline};

fn create(account: u64, rkey: &str) -> SimChange {
    let note = json!({"$type": "com.example.note", "text": rkey});
    SimChange::create(did(account), "com.example.note", rkey, note)
}

/// A commit and a sync of the first account, an account event, and a commit of the second.
fn frames() -> Vec<SimFrame> {
    let changes = [
        create(0, "a"),
        SimChange::sync(did(0)),
        SimChange::account(did(0), true, None),
        create(1, "b"),
    ];
    ManualNetwork::new().apply_all(&changes).unwrap()
}

/// One `#sync` frame.
fn sync() -> SimFrame {
    frames().remove(1)
}

fn give(pipeline: &mut Pipeline, source: &str, frames: &[SimFrame]) {
    for frame in frames {
        pipeline
            .frame(source, &frame.bytes, Micros::new(NOW_US))
            .unwrap();
    }
    pipeline.commit().unwrap();
}

fn kinds(log: &Store) -> Vec<String> {
    let kind = |line: &String| {
        let line: Value = serde_json::from_str(line).unwrap();
        line["kind"].as_str().unwrap().to_owned()
    };
    lines(log).iter().map(kind).collect()
}

/// Where the blocks of a `#sync` are in its frame, with their head and without it.
fn place_of_blocks(frame: &[u8]) -> (usize, std::ops::Range<usize>) {
    let mut windows = frame.windows(7);
    let head = windows.position(|part| part == b"\x66blocks").unwrap() + 7;
    let (start, length) = match frame[head] {
        0x58 => (head + 2, usize::from(frame[head + 1])),
        0x59 => {
            let length = u16::from_be_bytes([frame[head + 1], frame[head + 2]]);
            (head + 3, usize::from(length))
        }
        other => panic!("{other:#x}"),
    };
    (head, start..start + length)
}

/// The frame with other blocks.
fn with_blocks(frame: &[u8], blocks: &[u8]) -> Vec<u8> {
    let (head, place) = place_of_blocks(frame);
    let length = blocks.len();
    let length = match length {
        0..0x18 => vec![0x40 + length as u8],
        0x18..0x100 => vec![0x58, length as u8],
        _ => [&[0x59][..], &(length as u16).to_be_bytes()].concat(),
    };
    [&frame[..head], &length, blocks, &frame[place.end..]].concat()
}

/// The frame with every occurrence of a text replaced by one of the same length.
fn replaced(frame: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut frame = frame.to_vec();
    while let Some(at) = frame
        .windows(from.len())
        .position(|part| part == from.as_bytes())
    {
        frame[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
    frame
}

#[test]
fn a_sync_is_an_event_that_says_all_that_its_frame_does() {
    let frame = sync();
    let SimEvent::Sync { rev, .. } = &frame.event else {
        panic!("{frame:?}");
    };
    let (mut pipeline, log) = pipeline();
    pipeline
        .frame("a", &frame.bytes, Micros::new(NOW_US))
        .unwrap();
    pipeline.commit().unwrap();
    let blocks = STANDARD_NO_PAD.encode(&frame.bytes[place_of_blocks(&frame.bytes).1]);
    let SimFrame { seq, did, time, .. } = &frame;
    let expected = format!(
        r#"{{"did":"{did}","time_us":{NOW_US},"kind":"sync","sync":{{"blocks":{{"$bytes":"{blocks}"}},"did":"{did}","rev":"{rev}","seq":{seq},"time":"{time}"}}}}"#
    );
    assert_eq!(lines(&log), [expected]);
    assert!(pipeline.snapshot().dropped.is_empty());
}

#[test]
fn a_sync_that_several_relays_send_is_one_event() {
    let (pipeline, log) = pipeline();
    let mut pipeline = pipeline.deduplicate();
    for source in ["a", "b", "c"] {
        give(&mut pipeline, source, &frames());
    }
    assert_eq!(kinds(&log), ["commit", "sync", "account", "commit"]);
    assert_eq!(pipeline.snapshot().repeated, 8);
}

#[test]
fn syncs_of_one_revision_at_two_times_are_two_events() {
    let changes = [
        create(0, "a"),
        SimChange::sync(did(0)),
        SimChange::sync(did(0)),
    ];
    let frames = ManualNetwork::new().apply_all(&changes).unwrap();
    let (pipeline, log) = pipeline();
    let mut pipeline = pipeline.deduplicate();
    for source in ["a", "b"] {
        give(&mut pipeline, source, &frames);
    }
    assert_eq!(kinds(&log), ["commit", "sync", "sync"]);
}

fn on_disk(folder: &Path) -> (Pipeline, Store) {
    let location = Location::Disk(folder.to_owned());
    let (appender, log) = store::open(location, Options::default()).unwrap();
    (Pipeline::new(appender), log)
}

#[test]
fn a_relay_that_counts_anew_repeats_its_syncs_in_vain_also_after_a_restart() {
    for is_restarted in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let (mut pipeline, mut log) = on_disk(folder.path());
        let all = |first: u64| {
            let numbers = first..;
            let frames = numbers.zip(frames());
            frames
                .map(|(seq, frame)| numbered(&frame.bytes, seq))
                .collect::<Vec<_>>()
        };
        for frame in all(50_001) {
            pipeline.frame("a", &frame, Micros::new(NOW_US)).unwrap();
        }
        pipeline.commit().unwrap();
        if is_restarted {
            drop((pipeline, log));
            (pipeline, log) = on_disk(folder.path());
        }
        for frame in all(1) {
            pipeline.frame("a", &frame, Micros::new(NOW_US)).unwrap();
        }
        pipeline.commit().unwrap();
        assert_eq!(kinds(&log), ["commit", "sync", "account", "commit"]);
        assert_eq!(pipeline.snapshot().repeated, 4);
    }
}

#[test]
fn a_sync_that_is_wrong_in_itself_is_dropped_with_its_reason() {
    let frame = sync();
    let SimEvent::Sync { rev, .. } = &frame.event else {
        panic!("{frame:?}");
    };
    let bytes = &frame.bytes;
    let blocks = bytes[place_of_blocks(bytes).1].to_vec();
    let mut damaged = blocks.clone();
    *damaged.last_mut().unwrap() ^= 1;
    let mut long = blocks.clone();
    long.resize(10_001, 0);
    let not_a_rev = format!("{}!", &rev[..12]);
    let not_a_did = frame.did.replace("did:", "dad:");
    let not_a_time = frame.time.replace('T', "/");
    for (frame, reason) in [
        (with_blocks(bytes, b"no CAR"), "car_invalid"),
        (with_blocks(bytes, &[]), "car_invalid"),
        (
            with_blocks(bytes, &blocks[..blocks.len() - 1]),
            "car_invalid",
        ),
        (with_blocks(bytes, &damaged), "car_hash_mismatch"),
        (with_blocks(bytes, &long), "frame_over_limit"),
        (replaced(bytes, rev, &not_a_rev), "rev_invalid"),
        (replaced(bytes, &frame.did, &not_a_did), "did_invalid"),
        (replaced(bytes, &frame.time, &not_a_time), "time_invalid"),
    ] {
        let (mut pipeline, log) = pipeline();
        pipeline.frame("a", &frame, Micros::new(NOW_US)).unwrap();
        pipeline.commit().unwrap();
        let dropped: Vec<_> = pipeline.snapshot().dropped.into_keys().collect();
        assert_eq!(dropped, [reason]);
        assert!(lines(&log).is_empty(), "{reason}");
    }
    // Of another account or revision than the commit in it: the blocks stay as they are.
    let own = with_blocks(&replaced(bytes, &frame.did, &did(1)), &blocks);
    let (mut pipeline, log) = pipeline();
    pipeline.frame("a", &own, Micros::new(NOW_US)).unwrap();
    pipeline.commit().unwrap();
    assert_eq!(pipeline.snapshot().dropped["commit_did_mismatch"], 1);
    assert!(lines(&log).is_empty());
}

#[test]
fn the_ingest_filter_knows_the_kind_and_collections_do_not_apply_to_it() {
    let filter = Filter::new;
    for (filter, expected) in [
        (filter().kinds([Kind::Commit]), &["commit", "commit"][..]),
        (filter().kinds([Kind::Sync]), &["sync"]),
        (filter().dids([did(1)]).unwrap(), &["commit"]),
        (
            filter().dids([did(0)]).unwrap(),
            &["commit", "sync", "account"],
        ),
        (
            filter().collections(["com.example.other"]).unwrap(),
            &["sync", "account"],
        ),
    ] {
        let (pipeline, log) = pipeline();
        let mut pipeline = pipeline.filter(filter);
        give(&mut pipeline, "a", &frames());
        assert_eq!(kinds(&log), expected);
        let snapshot = pipeline.snapshot();
        assert_eq!(snapshot.rejected, 4 - expected.len() as u64);
    }
    let (pipeline, log) = pipeline();
    let mut pipeline = pipeline.filter_with(|peeked| peeked.kind != FrameKind::Sync);
    give(&mut pipeline, "a", &frames());
    assert_eq!(kinds(&log), ["commit", "account", "commit"]);
}

#[test]
fn a_flood_of_syncs_of_one_account_takes_no_more_of_the_log_than_its_retention() {
    const MOST: u64 = 1 << 16;
    let retention = Retention {
        max_bytes: Some(MOST),
        ..Retention::default()
    };
    let options = Options::default()
        .retention(retention)
        .block_events(64)
        .bucket_bytes(MOST / 8);
    let (appender, log) = store::open(Location::Memory, options).unwrap();
    let mut pipeline = Pipeline::new(appender).deduplicate();
    let mut network = ManualNetwork::new();
    network.apply(&create(0, "a")).unwrap();
    for number in 0..5_000 {
        let frame = network.apply(&SimChange::sync(did(0))).unwrap();
        // Twice, as from two relays: the latest are recognised.
        for source in ["a", "b"] {
            pipeline
                .frame(source, &frame.bytes, Micros::new(NOW_US))
                .unwrap();
        }
        if number % 100 == 99 {
            pipeline.commit().unwrap();
        }
    }
    pipeline.trim(Micros::new(NOW_US)).unwrap();
    let snapshot = pipeline.snapshot();
    assert_eq!((snapshot.repeated, snapshot.dropped.len()), (5_000, 0));
    let kept = lines(&log);
    assert!((1..4_000).contains(&kept.len()), "{}", kept.len());
    assert!(log.bounds().oldest_seq.get() > 1_000);
}
