//! Commits that follow on the log of an earlier process, with one source and without
//! `deduplicate`.

use std::path::Path;

use jetwash::store::{self, Location, Options, Store};
use jetwash::{Micros, Pipeline};
use jetwash_sim::{ManualNetwork, SimChange, SimWrite, did};
use serde_json::json;

use crate::order::numbered;
use crate::{NOW_US, lines};

const NOTE: &str = "com.example.note";

fn write(rkey: &str) -> SimWrite {
    SimWrite::create(NOTE, rkey, json!({"$type": NOTE, "text": rkey}))
}

fn create<const N: usize>(account: u64, rkeys: [&str; N]) -> SimChange {
    SimChange::commit(did(account), rkeys.map(write))
}

fn frames<const N: usize>(changes: [SimChange; N]) -> Vec<Vec<u8>> {
    let frames = ManualNetwork::new().apply_all(&changes).unwrap();
    frames.into_iter().map(|frame| frame.bytes).collect()
}

fn open(folder: &Path) -> (Pipeline, Store) {
    let location = Location::Disk(folder.to_owned());
    let (appender, log) = store::open(location, Options::default()).unwrap();
    (Pipeline::new(appender), log)
}

fn give(pipeline: &mut Pipeline, frames: &[Vec<u8>]) {
    for frame in frames {
        let now = Micros::new(NOW_US);
        pipeline.frame("relay", frame, now).unwrap();
    }
    pipeline.commit().unwrap();
}

fn rkeys(log: &Store) -> Vec<String> {
    let rkey = |line: &String| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["commit"]["rkey"].as_str().unwrap().to_owned()
    };
    lines(log).iter().map(rkey).collect()
}

#[test]
fn what_had_nothing_to_append_before_a_restart_makes_no_gap_behind_it() {
    // The second commit has a revision and nothing else, and the last builds on it.
    let all = frames([create(0, ["a"]), create(0, []), create(0, ["b"])]);
    let folder = tempfile::tempdir().unwrap();
    let (mut first, log) = open(folder.path());
    give(&mut first, &all[..2]);
    drop((first, log));
    let (mut second, log) = open(folder.path());
    give(&mut second, &all[2..]);
    assert_eq!(rkeys(&log), ["a", "b"]);
    assert!(second.snapshot().gaps.is_empty());
}

#[test]
fn a_revision_from_the_future_keeps_no_other_out_after_a_restart() {
    let mut network = ManualNetwork::new();
    let mut frame = |change| network.apply(&change).unwrap().bytes;
    let real = [frame(create(0, ["a"])), frame(create(1, ["b"]))];
    network.set_time(Micros::new(NOW_US + 10 * 365 * 86_400_000_000));
    let future = network.apply(&create(0, ["future"])).unwrap().bytes;
    for has_repeats in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let (mut first, log) = open(folder.path());
        give(&mut first, &[numbered(&future, 1)]);
        drop((first, log));
        let (second, log) = open(folder.path());
        // What the log has of each account is found out when several sources are followed.
        let mut second = if has_repeats {
            second.deduplicate()
        } else {
            second
        };
        give(&mut second, &[numbered(&real[0], 2), numbered(&real[1], 3)]);
        assert_eq!(rkeys(&log), ["future", "a", "b"]);
        assert_eq!(second.snapshot().repeated, 0);
    }
}
