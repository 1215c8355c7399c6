//! What the ring costs: appending, playing back, looking for one account, finding a time, opening.

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints its figures, and ends where its input is not what it should be"
)]

use std::path::Path;
use std::time::Duration;

use jetwash::store::{
    self, Appender, CommitPart, EventKind, Location, NewEvent, Options, Read, Retention, Run, Store,
};
use jetwash::{Dictionary, Filter, Pipeline, Selection};
use jetwash_benches::{Table, simulated_frames};

const START_US: u64 = 1_783_175_888_085_434;
/// Two milliseconds between events: 500 a second, an ordinary evening.
const APART_US: u64 = 2_000;
const SOURCE: &str = "wss://relay.example/";
const RING: u64 = 500_000;

fn main() {
    let (events, dictionary) = events(&simulated_frames(8_000));
    let mean = |bytes: fn(&Event) -> usize| events.iter().map(bytes).sum::<usize>() / events.len();
    println!(
        "{} simulated events: {} bytes of JSON and a frame of {} in the mean, one thread",
        events.len(),
        mean(|event| event.json.len()),
        mean(|event| event.frame.len()),
    );
    let folder = tempfile::tempdir().unwrap();
    append(&events, &dictionary, &folder.path().join("append"));
    read(&events, &dictionary, &folder.path().join("read"));
}

/// Appending, without end, to rings that are trimmed.
fn append(events: &[Event], dictionary: &Dictionary, folder: &Path) {
    let retention = Retention {
        max_age: None,
        max_bytes: Some(1 << 28),
    };
    let ring = |location, memtable_bytes| {
        let options = Options::default().retention(retention);
        let (mut appender, _store) =
            store::open(location, options.memtable_bytes(memtable_bytes)).unwrap();
        appender.set_dictionary(dictionary).unwrap();
        move |per_commit| {
            append_all(&mut appender, events, per_commit);
            appender.trim(0).unwrap().events
        }
    };
    let mut memory = ring(Location::Memory, 2 << 20);
    let mut disk = ring(Location::Disk(folder.join("default")), 2 << 20);
    let mut large = ring(Location::Disk(folder.join("large")), 16 << 20);
    let mut memory_each = ring(Location::Memory, 2 << 20);
    let mut disk_each = ring(Location::Disk(folder.join("each")), 2 << 20);
    let _ = Table::new("append", events.len())
        .row("in memory, 100 events a commit", || memory(100))
        .row("on disk, 100 events a commit", || disk(100))
        .row("the same with 16 MiB of buffers", || large(100))
        .row("in memory, one event a commit", || memory_each(1))
        .row("on disk, one event a commit", || disk_each(1))
        .run(Duration::from_secs(15));
}

/// Reading a ring of half a million events, which the system has in its page cache.
fn read(events: &[Event], dictionary: &Dictionary, folder: &Path) {
    let open = || store::open(Location::Disk(folder.to_owned()), Options::default()).unwrap();
    let (mut appender, store) = open();
    appender.set_dictionary(dictionary).unwrap();
    let mut frames = 0;
    while appender.next_seq() <= RING {
        append_all(&mut appender, events, 100);
        frames += events
            .iter()
            .map(|event| event.frame.len() as u64)
            .sum::<u64>();
    }
    let bounds = store.bounds();
    let count = bounds.events();
    let beyond = (bounds.bytes - frames) as f64 / count as f64;
    println!("\n{count} events on disk, {beyond:.1} bytes each beyond the frame");

    let nobody = Filter::new()
        .dids(["did:plc:zzzzzzzzzzzzzzzzzzzzzzzz"])
        .unwrap();
    let _ = Table::new("play back from disk", count as usize)
        .row("frames", || {
            each_run(&store, |run| {
                let frames = run.block().frames().unwrap().unwrap();
                run.indexes()
                    .filter_map(|index| frames.get(index))
                    .map(<[u8]>::len)
                    .sum()
            })
        })
        .row("JSON", || {
            each_run(&store, |run| {
                let json = run.block().json().unwrap();
                run.indexes()
                    .filter_map(|index| json.get(index))
                    .map(<[u8]>::len)
                    .sum()
            })
        })
        .row("scanned for an account that is not there", || {
            let mut selection = Selection::default();
            each_run(&store, |run| {
                selection.select(run, &nobody);
                selection.by_ref().count()
            })
        })
        .run(Duration::from_secs(15));

    let times: Vec<u64> = (0..1_000)
        .map(|step| START_US + step * 7_919 % 1_000 * (count / 1_000) * APART_US)
        .collect();
    let _ = Table::new("find a time", times.len())
        .row("seq_at_time", || {
            times
                .iter()
                .map(|time| store.seq_at_time(*time).unwrap())
                .sum::<u64>()
        })
        .run(Duration::from_secs(3));

    drop((appender, store));
    let _ = Table::new("open and close", 1)
        .row("half a million events", || open().1.bounds().next_seq)
        .run(Duration::from_secs(3));
}

fn each_run(store: &Store, mut work: impl FnMut(&Run) -> usize) -> usize {
    let mut position = store.bounds().oldest_seq;
    let mut sum = 0;
    while let Read::Events(run) = store.read(position).unwrap() {
        sum += work(&run);
        position = run.next_seq();
    }
    sum
}

fn append_all(appender: &mut Appender, events: &[Event], per_commit: usize) {
    for chunk in events.chunks(per_commit) {
        for event in chunk {
            let time_us = appender.next_time_us(START_US + appender.next_seq() * APART_US);
            appender
                .push(&NewEvent {
                    kind: event.kind,
                    did: &event.did,
                    collection: &event.collection,
                    commit: event.commit,
                    source: SOURCE,
                    time_us,
                    json: &event.json,
                    frame: Some(&event.frame),
                })
                .unwrap();
        }
        appender.commit().unwrap();
    }
}

struct Event {
    kind: EventKind,
    did: String,
    collection: String,
    commit: CommitPart,
    json: Vec<u8>,
    frame: Vec<u8>,
}

/// What the pipeline makes of the frames: half of it to train a dictionary on, half to work with.
fn events(frames: &[Vec<u8>]) -> (Vec<Event>, Dictionary) {
    let (appender, store) = store::open(Location::Memory, Options::default()).unwrap();
    let mut pipeline = Pipeline::new(appender);
    for frame in frames {
        pipeline.frame(SOURCE, frame, START_US).unwrap();
    }
    pipeline.commit().unwrap();
    let mut events = Vec::new();
    each_run(&store, |run| {
        let json = run.block().json().unwrap();
        for index in run.indexes() {
            let meta = run.block().meta(index).unwrap();
            events.push(Event {
                kind: meta.kind,
                did: meta.did.to_owned(),
                collection: meta.collection.to_owned(),
                commit: meta.commit.unwrap_or(CommitPart::WHOLE),
                json: json.get(index).unwrap().to_vec(),
                frame: Vec::new(),
            });
        }
        run.indexes().len()
    });
    let samples = events.split_off(events.len() / 2);
    let samples = samples.iter().map(|event| &event.json);
    let dictionary = Dictionary::train(samples, 64 << 10, 1).unwrap();
    let mut encoder = dictionary.encoder();
    for event in &mut events {
        encoder.encode(&event.json, &mut event.frame).unwrap();
    }
    (events, dictionary)
}
