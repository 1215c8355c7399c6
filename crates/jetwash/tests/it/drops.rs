//! A fault in a frame costs that frame, or one operation, and is counted.

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};

use jetwash::Micros;
use jetwash_sim::{Network, NetworkConfig, SimEvent};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::{NOW_US, lines, pipeline};

fn commits(count: usize) -> Vec<Vec<u8>> {
    let config = NetworkConfig {
        accounts: 5,
        records: 50,
        ..NetworkConfig::default()
    };
    Network::new(config)
        .unwrap()
        .filter(|frame| matches!(&frame.event, SimEvent::Commit(commit) if commit.ops.len() == 1))
        .take(count)
        .map(|frame| frame.bytes)
        .collect()
}

#[test]
fn the_cursor_moves_past_what_is_dropped() {
    let frames = commits(3);
    let (mut pipeline, log) = pipeline();
    let seqs: Vec<_> = frames
        .iter()
        .map(|frame| jetwash::frame::peek(frame).unwrap().seq.unwrap())
        .collect();
    pipeline
        .frame("a", &frames[0], Micros::new(NOW_US))
        .unwrap();
    // The second loses its last byte, and the third is whole again.
    pipeline
        .frame("a", &frames[1][..frames[1].len() - 1], Micros::new(NOW_US))
        .unwrap();
    assert_eq!(pipeline.cursor("a"), Some(seqs[1]));
    pipeline
        .frame("a", &frames[2], Micros::new(NOW_US))
        .unwrap();
    pipeline.commit().unwrap();
    assert_eq!(lines(&log).len(), 2);
    assert_eq!(pipeline.snapshot().dropped["frame_malformed"], 1);
    assert_eq!(pipeline.cursor("a"), Some(seqs[2]));
}

#[test]
fn a_frame_that_comes_again_adds_nothing() {
    let frames = commits(2);
    let (mut pipeline, log) = pipeline();
    for frame in [&frames[0], &frames[1], &frames[0], &frames[1]] {
        pipeline.frame("a", frame, Micros::new(NOW_US)).unwrap();
    }
    pipeline.commit().unwrap();
    assert_eq!(lines(&log).len(), 2);
    assert_eq!(pipeline.snapshot().repeated, 2);
    assert!(pipeline.snapshot().dropped.is_empty());
}

#[test]
fn sources_have_cursors_of_their_own_and_repeats_between_them_add_nothing_when_asked() {
    let frames = commits(2);
    let (pipeline, log) = pipeline();
    let mut pipeline = pipeline.deduplicate();
    for source in ["a", "b"] {
        for frame in &frames {
            pipeline.frame(source, frame, Micros::new(NOW_US)).unwrap();
        }
    }
    pipeline.commit().unwrap();
    assert_eq!(lines(&log).len(), 2);
    assert_eq!(pipeline.snapshot().repeated, 2);
    assert_eq!(pipeline.cursor("a"), pipeline.cursor("b"));
}

#[test]
fn a_damaged_record_is_dropped_and_its_frame_goes_on() {
    let frame = commits(1).remove(0);
    // The record's collection stands in its `$type`: a changed letter breaks the hash alone.
    let at = frame
        .windows(5)
        .rposition(|window| window == b"$type")
        .unwrap()
        + 8;
    let mut damaged = frame;
    damaged[at] ^= 1;
    let (mut pipeline, log) = pipeline();
    pipeline.frame("a", &damaged, Micros::new(NOW_US)).unwrap();
    pipeline.commit().unwrap();
    assert_eq!(lines(&log).len(), 0);
    assert_eq!(pipeline.snapshot().dropped["op_hash_mismatch"], 1);
}

#[test]
fn unwanted_accounts_and_collections_never_enter_the_log() {
    let frames = commits(200);
    let wanted = jetwash::frame::peek(&frames[0])
        .unwrap()
        .did
        .unwrap()
        .to_owned();
    let filter = jetwash::Filter::new().dids([&wanted]).unwrap();
    let filter = filter.collections(["app.bsky.feed.*"]).unwrap();
    let (pipeline, log) = pipeline();
    let mut pipeline = pipeline.filter(filter);
    for frame in &frames {
        pipeline.frame("a", frame, Micros::new(NOW_US)).unwrap();
    }
    pipeline.commit().unwrap();
    let lines = lines(&log);
    assert!(!lines.is_empty() && lines.len() < 200);
    for line in &lines {
        assert!(
            line.starts_with(&format!(r#"{{"did":"{wanted}""#)),
            "{line}"
        );
        assert!(line.contains(r#""collection":"app.bsky.feed."#), "{line}");
    }
    let snapshot = pipeline.snapshot();
    assert_eq!(snapshot.rejected + snapshot.events, 200);
    assert!(snapshot.dropped.is_empty());
}

#[test]
fn a_damaged_path_is_counted_whatever_collections_are_wanted() {
    let frame = commits(1).remove(0);
    let path = jetwash::frame::peek(&frame)
        .unwrap()
        .paths()
        .next()
        .unwrap();
    let path = path.as_bytes();
    let start = frame.windows(path.len()).position(|window| window == path);
    let slash = start.unwrap() + path.iter().position(|&byte| byte == b'/').unwrap();
    for (byte, reason) in [(b'.', "op_path_invalid"), (0xff, "frame_malformed")] {
        let mut damaged = frame.clone();
        damaged[slash] = byte;
        let (pipeline, _log) = pipeline();
        let filter = jetwash::Filter::new().collections(["com.example.note"]);
        let mut pipeline = pipeline.filter(filter.unwrap());
        pipeline.frame("a", &damaged, Micros::new(NOW_US)).unwrap();
        let snapshot = pipeline.snapshot();
        assert_eq!(snapshot.rejected, 0);
        assert_eq!(snapshot.dropped.get(reason), Some(&1), "{snapshot:?}");
    }
}

#[test]
fn unwanted_kinds_never_enter_the_log() {
    let config = NetworkConfig {
        accounts: 5,
        records: 50,
        rare_per_million: 300_000,
        ..NetworkConfig::default()
    };
    let (pipeline, log) = pipeline();
    let mut pipeline = pipeline.filter(jetwash::Filter::new().kinds([jetwash::Kind::Identity]));
    let mut identities = 0;
    for frame in Network::new(config).unwrap().take(200) {
        identities += usize::from(matches!(frame.event, SimEvent::Identity { .. }));
        pipeline
            .frame("a", &frame.bytes, Micros::new(NOW_US))
            .unwrap();
    }
    pipeline.commit().unwrap();
    assert!(identities > 0);
    let lines = lines(&log);
    assert_eq!(lines.len(), identities);
    assert!(
        lines
            .iter()
            .all(|line| line.contains(r#""kind":"identity""#))
    );
}

/// Keeps what is logged.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<String>>>);

impl Subscriber for Logged {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, "{}={value:?} ", field.name()).unwrap();
    }
}

#[test]
fn the_first_fault_of_each_kind_and_source_is_told_with_its_place() {
    let frames = commits(2);
    let seq = jetwash::frame::peek(&frames[0]).unwrap().seq.unwrap();
    let (mut pipeline, _log) = pipeline();
    let logged = Logged::default();
    tracing::subscriber::with_default(logged.clone(), || {
        for source in ["a", "b"] {
            for cut in 1..20 {
                let broken = &frames[0][..frames[0].len() - cut];
                pipeline.set_cursor(source, seq - 1);
                pipeline.frame(source, broken, Micros::new(NOW_US)).unwrap();
            }
        }
        // And again, once some time has passed.
        pipeline.set_cursor("a", seq - 1);
        let broken = &frames[0][..frames[0].len() - 1];
        pipeline
            .frame("a", broken, Micros::new(NOW_US + 60_000_000))
            .unwrap();
    });
    let lines = logged.0.lock().unwrap().clone();
    assert_eq!(lines.len(), 3, "{lines:#?}");
    for part in [
        "source=a",
        "frame_malformed",
        &format!("seq={seq}"),
        "did:plc:",
    ] {
        assert!(lines[0].contains(part), "{part} is not in {}", lines[0]);
    }
    assert!(lines[1].contains("source=b"), "{}", lines[1]);
    assert!(lines[2].contains("not_told=18"), "{}", lines[2]);
}
