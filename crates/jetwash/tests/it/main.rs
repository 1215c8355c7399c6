//! The promises of a `Jetstream`, from frames to events.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod amplification;
mod build;
mod consumer;
mod content;
mod dictionaries;
mod did_file;
mod did_sets;
mod drops;
mod edge_frames;
mod events;
#[cfg(target_os = "linux")]
mod full;
mod gaps;
mod ingest_filter;
mod jetstream_syncs;
mod jetstreams;
mod kept_frames;
mod kill;
mod label_events;
mod labelers;
mod memory;
mod mirror;
mod order;
mod order_model;
mod own_source;
mod record_cache;
mod recorded;
mod relay;
mod restarts;
mod run;
mod simulated;
mod supervision;
mod syncs;
mod testing;
mod time;
mod upstream;
mod verified_edges;
mod verified_hostile;
mod verified_kill;
mod verify;

use std::time::Duration;

use jetwash::store::{self, Location, Options, Read, Store};
use jetwash::{Event, Filter, Jetstream, Pipeline, StartFrom};

/// A pipeline into a log in memory, and that log.
fn pipeline() -> (Pipeline, Store) {
    let (appender, log) = store::open(Location::Memory, Options::default()).unwrap();
    (Pipeline::new(appender), log)
}

/// Every line of a log, oldest first.
fn lines(log: &Store) -> Vec<String> {
    let mut lines = Vec::new();
    let mut position = log.bounds().oldest_seq;
    while let Read::Events(run) = log.read(position).unwrap() {
        let page = run.block().json().unwrap();
        for index in run.indexes() {
            lines.push(String::from_utf8(page.get(index).unwrap().to_vec()).unwrap());
        }
        position = run.next_seq();
    }
    lines
}

/// A line with the digits of `time_us` left out, and those digits.
fn without_time(line: &str) -> (String, u64) {
    let start = line.find(r#""time_us":"#).expect("a line without time_us") + 10;
    let end = start + line[start..].find(',').unwrap();
    (
        format!("{}{}", &line[..start], &line[end..]),
        line[start..end].parse().unwrap(),
    )
}

/// The next `count` events of a subscription.
async fn take(jetstream: &Jetstream, start: StartFrom, filter: Filter, count: usize) -> Vec<Event> {
    use futures_util::StreamExt;
    let events = jetstream.subscribe(start, filter).await.unwrap();
    let events = events.take(count).map(Result::unwrap).collect();
    let taken = tokio::time::timeout(Duration::from_secs(60), events).await;
    taken.expect("the events do not come")
}

const NOW_US: u64 = 1_783_175_888_085_434;
