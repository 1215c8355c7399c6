//! Times the ring: appending, playing back, looking for one account, finding a time, opening.

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints its figures, and ends where its input is not what it should be"
)]

use jetwash::{Micros, Seq};
use std::path::Path;
use std::time::Duration;

use jetwash::dict::Compressor;
use jetwash::store::{
    self, Appender, Block, CommitPart, Durability, EventKind, Location, NewEvent, Options, Page,
    Read, Retention, Run, Store,
};
use jetwash::{Dictionary, Filter, Pipeline, Selection};
use jetwash_benches::{Table, simulated_frames};
use serde_json::Value;

const START_US: u64 = 1_783_175_888_085_434;
/// Two milliseconds between events: 500 a second, an ordinary evening.
const APART_US: u64 = 2_000;
const SOURCE: &str = "wss://relay.example/";
const RARE_DID: &str = "did:plc:zzzzzzzzzzzzzzzzzzzzzzzz";
const RARE_COLLECTION: &str = "com.example.rare";
const RING: u64 = 500_000;

fn main() {
    // On a thread of its own, whose heap the simulator leaves in pieces: to find room in them for a
    // block of JSON would take a twentieth of the time that is measured.
    let made = std::thread::spawn(|| events(&simulated_frames(8_000)));
    let (events, dictionary) = made.join().unwrap();
    let mean = |bytes: fn(&Event) -> usize| events.iter().map(bytes).sum::<usize>() / events.len();
    println!(
        "{} simulated events: {} bytes of JSON and {} compressed in the mean, one thread",
        events.len(),
        mean(|event| event.json.len()),
        mean(|event| event.compressed.len()),
    );
    let folder = tempfile::tempdir().unwrap();
    append(&events, &dictionary, &folder.path().join("append"));
    read(&events, &dictionary, &folder.path().join("read"));
    bytes_of_real_records(&folder.path().join("real"));
    open_large(&events, &dictionary, &folder.path().join("large"));
}

/// Appending, without end, to rings that are trimmed.
fn append(events: &[Event], dictionary: &Dictionary, folder: &Path) {
    let retention = Retention {
        max_age: None,
        max_bytes: Some(1 << 28),
    };
    let ring = |location, options: Options| {
        let (mut appender, _store) = store::open(location, options.retention(retention)).unwrap();
        appender.set_dictionary(dictionary).unwrap();
        move |per_commit| {
            append_all(&mut appender, events, per_commit);
            appender.trim(Micros::EPOCH).unwrap().events
        }
    };
    let disk = |name| Location::Disk(folder.join(name));
    let default = Options::default;
    let mut memory = ring(Location::Memory, default());
    let mut buffered = ring(disk("default"), default());
    let mut large = ring(disk("large"), default().memtable_bytes(16 << 20));
    let second = Durability::Synced(Duration::from_secs(1));
    let mut synced = ring(disk("second"), default().durability(second));
    let mut each = ring(disk("each"), default().durability(Durability::SyncedBatch));
    let mut memory_one = ring(Location::Memory, default());
    let mut buffered_one = ring(disk("one"), default());
    let _ = Table::new("append", events.len())
        .row("in memory, 512 events a commit", || memory(512))
        .row("on disk, 512 events a commit", || buffered(512))
        .row("the same with 16 MiB of buffers", || large(512))
        .row("on disk, synced each second", || synced(512))
        .row("on disk, each commit synced", || each(512))
        .row("in memory, one event a commit", || memory_one(1))
        .row("on disk, one event a commit", || buffered_one(1))
        .run(Duration::from_secs(20));
}

/// Reading a ring of half a million events, which the system has in its page cache.
fn read(events: &[Event], dictionary: &Dictionary, folder: &Path) {
    let open = || store::open(Location::Disk(folder.to_owned()), Options::default()).unwrap();
    let (mut appender, store) = open();
    appender.set_dictionary(dictionary).unwrap();
    let mut frames = 0;
    while appender.next_seq() <= Seq::new(RING) {
        append_all(&mut appender, events, 100);
        frames += events
            .iter()
            .map(|event| event.compressed.len() as u64)
            .sum::<u64>();
    }
    let bounds = store.bounds();
    let count = bounds.events();
    let beyond = (bounds.bytes - frames) as f64 / count as f64;
    println!("\n{count} events on disk, {beyond:.1} bytes each beyond the compressed event");

    let all = Filter::new();
    let account = Filter::new().dids([RARE_DID]).unwrap();
    let collection = Filter::new().collections([RARE_COLLECTION]).unwrap();
    let _ = Table::new("play back from disk, one reader", count as usize)
        .row("compressed", || play(&store, &all, compressed_of))
        .row("JSON", || play(&store, &all, json_of))
        .row("scanned for an account, 1 in 10,000", || {
            play(&store, &account, |_, _| 0)
        })
        .row("the same with its JSON", || play(&store, &account, json_of))
        .row("the same, compressed", || {
            play(&store, &account, compressed_of)
        })
        .row("scanned for a collection, 1 in 10,000", || {
            play(&store, &collection, |_, _| 0)
        })
        .row("the same with its JSON", || {
            play(&store, &collection, json_of)
        })
        .run(Duration::from_secs(20));
    let ten = |filter: &Filter, load: fn(&Block, &[usize]) -> usize| {
        std::thread::scope(|scope| {
            let readers = [0; 10].map(|_| scope.spawn(|| play(&store, filter, load)));
            readers.map(|reader| reader.join().unwrap())
        })
    };
    let _ = Table::new(
        "play back from disk, ten readers at once",
        10 * count as usize,
    )
    .row("compressed", || ten(&all, compressed_of))
    .row("JSON", || ten(&all, json_of))
    .row("an account, 1 in 10,000, with its JSON", || {
        ten(&account, json_of)
    })
    .run(Duration::from_secs(15));

    find_times(&store, count);
    drop((appender, store));
    let _ = Table::new("open and close", 1)
        .row("half a million events", || open().1.bounds().next_seq)
        .run(Duration::from_secs(3));
}

fn find_times(store: &Store, count: u64) {
    let times: Vec<u64> = (0..1_000)
        .map(|step| START_US + step * 7_919 % 1_000 * (count / 1_000) * APART_US)
        .collect();
    let _ = Table::new("find a time", times.len())
        .row("seq_at_time", || {
            times
                .iter()
                .map(|time| store.seq_at_time(Micros::new(*time)).unwrap().get())
                .sum::<u64>()
        })
        .run(Duration::from_secs(3));
}

/// How long it takes to open a ring of as many events as `JETWASH_BENCH_EVENTS` says.
fn open_large(events: &[Event], dictionary: &Dictionary, folder: &Path) {
    let count = std::env::var("JETWASH_BENCH_EVENTS").ok();
    let Some(count) = count.and_then(|count| count.parse::<u64>().ok()) else {
        return;
    };
    let options = || {
        let retention = Retention::default();
        Options::default().retention(retention)
    };
    let open = |options| store::open(Location::Disk(folder.to_owned()), options).unwrap();
    let (mut appender, store) = open(options().memtable_bytes(64 << 20));
    appender.set_dictionary(dictionary).unwrap();
    while appender.next_seq() <= Seq::new(count) {
        append_all(&mut appender, events, 512);
    }
    drop((appender, store));
    let _ = Table::new("open and close", 1)
        .row("the large ring", || {
            let (_appender, store) = open(options());
            assert!(store.bounds().events() >= count);
            store.bounds().next_seq
        })
        .run(Duration::from_secs(10));
}

/// The bytes that real records take, compressed with dictionaries that others and we have trained.
fn bytes_of_real_records(folder: &Path) {
    let Some(corpus) = jetwash_corpus::corpus("events of real records") else {
        return;
    };
    let lines = corpus.lines("events/events_v1_from_repos.jsonl.zst");
    println!("\n{} events of real records", lines.len());
    println!(
        "{:<44} {:>12} {:>12} {:>12}",
        "bytes each", "JSON", "frame", "on disk"
    );
    let official = corpus.bytes("dictionaries/legacy_subscribe.zdict");
    for (name, dictionary) in [
        ("the official dictionary", Dictionary::from_bytes(official)),
        ("the one that comes along", Dictionary::builtin()),
    ] {
        let dictionary = dictionary.unwrap();
        let mut encoder = dictionary.compressor();
        let events: Vec<Event> = lines
            .iter()
            .map(|line| Event::of_line(line, &mut encoder))
            .collect();
        let mean = |bytes: u64| bytes as f64 / events.len() as f64;
        let sum = |length: fn(&Event) -> usize| events.iter().map(length).sum::<usize>() as u64;
        let path = folder.join(dictionary.id().to_string());
        let retention = Retention::default();
        let options = Options::default()
            .retention(retention)
            .memtable_bytes(1 << 16);
        let (mut appender, store) = store::open(Location::Disk(path.clone()), options).unwrap();
        appender.set_dictionary(&dictionary).unwrap();
        append_all(&mut appender, &events, 1);
        let bytes = store.bounds().bytes;
        println!(
            "{name:<44} {:>12.1} {:>12.1} {:>12.1}",
            mean(sum(|event| event.json.len())),
            mean(sum(|event| event.compressed.len())),
            mean(bytes),
        );
        drop((appender, store));
        println!(
            "{:<44} {:>38.1}",
            "  in the files of its tables",
            mean(tables(&path))
        );
    }
}

/// The bytes of the tables and blocks in a folder, which are there beside the journal.
fn tables(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries
        .map(|entry| match entry.file_type().unwrap().is_dir() {
            true => tables(&entry.path()),
            false if entry.path().extension().is_some_and(|end| end == "jnl") => 0,
            false => entry.metadata().unwrap().len(),
        })
        .sum()
}

/// Reads everything, and loads what a filter wants; returns the sum of the lengths.
fn play(store: &Store, filter: &Filter, load: fn(&Block, &[usize]) -> usize) -> usize {
    let mut selection = Selection::default();
    each_run(store, |run| {
        selection.select(run, filter);
        match selection.rest() {
            [] => 0,
            wanted => load(run.block(), wanted),
        }
    })
}

fn compressed_of(block: &Block, wanted: &[usize]) -> usize {
    bytes_of(block.compressed().unwrap().unwrap(), wanted)
}

fn json_of(block: &Block, wanted: &[usize]) -> usize {
    bytes_of(&block.json_of(wanted).unwrap(), wanted)
}

fn bytes_of(page: &Page, wanted: &[usize]) -> usize {
    let events = wanted.iter().filter_map(|&index| page.get(index));
    events.map(<[u8]>::len).sum()
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
            let seq = appender.next_seq();
            let time_us = appender.next_time_us(Micros::new(START_US + seq.get() * APART_US));
            let (did, collection) = match seq.get() % 10_000 {
                1_234 => (RARE_DID, event.collection.as_str()),
                5_678 => (event.did.as_str(), RARE_COLLECTION),
                _ => (event.did.as_str(), event.collection.as_str()),
            };
            appender
                .push(&NewEvent {
                    kind: event.kind,
                    did,
                    collection,
                    commit: event.commit,
                    source: SOURCE,
                    verdict: 0,
                    time_us,
                    json: &event.json,
                    compressed: Some(&event.compressed),
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
    compressed: Vec<u8>,
}

impl Event {
    /// The event that a line of Jetstream stands for.
    fn of_line(line: &str, encoder: &mut Compressor) -> Self {
        let value: Value = serde_json::from_str(line).unwrap();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let kind = match value["commit"]["operation"].as_str() {
            Some("create") => EventKind::Create,
            Some("update") => EventKind::Update,
            Some(_) => EventKind::Delete,
            None if value["kind"] == "identity" => EventKind::Identity,
            None => EventKind::Account,
        };
        let mut compressed = Vec::new();
        encoder.compress(line.as_bytes(), &mut compressed).unwrap();
        Self {
            kind,
            did: text(&value["did"]),
            collection: text(&value["commit"]["collection"]),
            commit: CommitPart::WHOLE,
            json: line.as_bytes().to_vec(),
            compressed,
        }
    }
}

/// The events of the frames: half of them to train a dictionary on, half to work with.
fn events(frames: &[Vec<u8>]) -> (Vec<Event>, Dictionary) {
    let (appender, store) = store::open(Location::Memory, Options::default()).unwrap();
    let mut pipeline = Pipeline::new(appender);
    for frame in frames {
        pipeline
            .frame(SOURCE, frame, Micros::new(START_US))
            .unwrap();
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
                compressed: Vec::new(),
            });
        }
        run.indexes().len()
    });
    let samples = events.split_off(events.len() / 2);
    let samples = samples.iter().map(|event| &event.json);
    let dictionary = Dictionary::train(samples, 64 << 10, 1).unwrap();
    let mut encoder = dictionary.compressor();
    for event in &mut events {
        encoder
            .compress(&event.json, &mut event.compressed)
            .unwrap();
    }
    (events, dictionary)
}
