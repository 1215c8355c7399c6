//! Look-ups in sets of accounts, their memory, and what a frame costs that is turned away.
//!
//! Times are of the thread's processor, not of the clock, and rows are measured in turns. Sizes are
//! `JETWASH_BENCH_DIDS`, a list with commas; 10 thousand to 10 million if not said.

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints its figures, and ends where its input is not what it should be"
)]

use std::collections::HashSet;
use std::hint::black_box;
use std::process::Command;

use fastbloom::BloomFilter;
use jetwash::event::PlcDid;
use jetwash::frame::peek;
use jetwash::store::{self, Location, Options};
use jetwash::{DidSet, Filter, Micros, Pipeline};
use jetwash_benches::frames;
use rustix::time::{ClockId, clock_gettime};
use xorf::{BinaryFuse8, Filter as _};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, flag, kind, size] = &arguments[..]
        && flag == "--memory"
    {
        return memory_of(kind, size.parse().unwrap());
    }
    let sizes = std::env::var("JETWASH_BENCH_DIDS");
    let sizes = sizes.as_deref().unwrap_or("10000,100000,1000000,10000000");
    let sizes: Vec<usize> = sizes.split(',').map(|size| size.parse().unwrap()).collect();
    memory(&sizes);
    for size in sizes {
        look_ups(size);
    }
    rejects();
}

/// Memory as the system counts it, each case in a process of its own.
fn memory(sizes: &[usize]) {
    println!("memory: bytes for each DID once filled, and at the most while filling\n");
    println!("{:<44} {:>10} {:>8} {:>8}", "", "DIDs", "filled", "most");
    for &size in sizes {
        for kind in ["DidSet", "DidSet, replaced", "HashSet<String>"] {
            let own = std::env::current_exe().unwrap();
            let output = Command::new(own)
                .args(["--memory", kind, &size.to_string()])
                .output()
                .unwrap();
            print!("{}", String::from_utf8(output.stdout).unwrap());
        }
    }
}

fn memory_of(kind: &str, size: usize) {
    let before = status("VmRSS:");
    let each = |bytes: u64| (bytes - before) as f64 / size as f64;
    let dids = || (0..size as u64).map(|number| did(number).to_string());
    let (filled, most) = match kind {
        "HashSet<String>" => {
            let set: HashSet<String> = dids().collect();
            let rss = status("VmRSS:");
            drop(black_box(set));
            (rss, status("VmHWM:"))
        }
        _ => {
            let set = DidSet::new();
            for did in dids() {
                set.add(&did).unwrap();
            }
            if kind == "DidSet, replaced" {
                // A list as it is after some days: one in a hundred is another.
                let size = size as u64;
                let new = (size / 100..size + size / 100).map(|number| did(number).to_string());
                set.replace(new).unwrap();
            }
            let rss = status("VmRSS:");
            drop(black_box(set));
            (rss, status("VmHWM:"))
        }
    };
    println!(
        "{kind:<44} {size:>10} {:>8.1} {:>8.1}",
        each(filled),
        each(most)
    );
}

/// A figure of the process, in bytes.
fn status(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(field));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.map_or(0, |kib| kib.parse::<u64>().unwrap() * 1024)
}

fn look_ups(size: usize) {
    let set = DidSet::new();
    let mut strings = HashSet::new();
    let mut bloom = BloomFilter::with_false_pos(0.01)
        .seed(&7)
        .expected_items(size);
    let mut keys = Vec::with_capacity(size);
    for number in 0..size as u64 {
        let text = did(number).to_string();
        set.add(&text).unwrap();
        bloom.insert(text.as_str());
        keys.push(key(&text));
        strings.insert(text);
    }
    let fuse = BinaryFuse8::try_from(&keys).expect("the keys differ");
    drop(keys);
    let hits = probes(|index| index % size as u64);
    let misses = probes(|index| u64::MAX / 2 + index);
    let mut table = Turns::new(format!("{size} DIDs: ns for each look-up"));
    for (name, probes) in [("hits", &hits), ("misses", &misses)] {
        let (set, strings, bloom, fuse) = (&set, &strings, &bloom, &fuse);
        table.row(format!("DidSet, {name}"), PROBES, move || {
            count(probes, |did| set.contains(did))
        });
        table.row(format!("HashSet<String>, {name}"), PROBES, move || {
            count(probes, |did| strings.contains(did))
        });
        table.row(
            format!("Bloom filter, then DidSet, {name}"),
            PROBES,
            move || count(probes, |did| bloom.contains(did) && set.contains(did)),
        );
        table.row(
            format!("binary fuse filter, then DidSet, {name}"),
            PROBES,
            move || count(probes, |did| fuse.contains(&key(did)) && set.contains(did)),
        );
    }
    table.run(15);
}

/// Measures how a frame is turned away before it is decoded.
fn rejects() {
    let (frames, kind) = frames();
    let frames: Vec<Vec<u8>> = frames.into_iter().take(2000).collect();
    let set = DidSet::new();
    for number in 0..1_000_000 {
        set.add(&did(number).to_string()).unwrap();
    }
    let pipeline = |filter: Filter| {
        let (appender, _log) = store::open(Location::Memory, Options::default()).unwrap();
        Pipeline::new(appender).filter(filter)
    };
    let named = Filter::new().dids(["did:web:a.example"]).unwrap();
    let start = Filter::new().collections(["com.example.*"]).unwrap();
    let collections = (0..20).map(|number| format!("com.example.feed.note{number}"));
    let collections = Filter::new().collections(collections).unwrap();
    let cases = [
        (
            "a DID set of a million",
            pipeline(Filter::new().did_set(set)),
        ),
        ("one named account", pipeline(named)),
        ("twenty collections", pipeline(collections)),
        ("the start of collections", pipeline(start)),
        (
            "a closure",
            pipeline(Filter::new()).filter_with(|frame| frame.did.is_none()),
        ),
    ];
    let mut table = Turns::new(format!("{kind}: ns for each frame that is rejected"));
    let count = frames.len();
    let frames = &frames;
    table.row("peek alone".to_owned(), count, move || {
        frames.iter().filter(|frame| peek(frame).is_ok()).count()
    });
    for (name, mut pipeline) in cases {
        table.row(format!("the pipeline, by {name}"), count, move || {
            // From the first frame again, which would otherwise be a repeat.
            pipeline.set_cursor("relay", 0);
            for frame in frames {
                pipeline.frame("relay", frame, NOW).unwrap();
            }
            count
        });
    }
    table.run(31);
}

/// Rows that are measured in turns, by the time of the processor.
struct Turns<'a> {
    title: String,
    rows: Vec<Row<'a>>,
}

struct Row<'a> {
    name: String,
    items: usize,
    work: Box<dyn FnMut() -> usize + 'a>,
    rounds: Vec<f64>,
}

impl<'a> Turns<'a> {
    const fn new(title: String) -> Self {
        Self {
            title,
            rows: Vec::new(),
        }
    }

    fn row(&mut self, name: String, items: usize, work: impl FnMut() -> usize + 'a) {
        self.rows.push(Row {
            name,
            items,
            work: Box::new(work),
            rounds: Vec::new(),
        });
    }

    /// Prints the median and the least of `rounds`.
    fn run(mut self, rounds: usize) {
        for _ in 0..=rounds {
            for row in &mut self.rows {
                let start = cpu_ns();
                black_box((row.work)());
                row.rounds
                    .push((cpu_ns() - start) as f64 / row.items as f64);
            }
        }
        println!("\n{}\n", self.title);
        println!("{:<44} {:>10} {:>8}", "", "median", "least");
        for row in &mut self.rows {
            // The first warms up.
            let mut measured = row.rounds.split_off(1);
            measured.sort_by(f64::total_cmp);
            let (median, least) = (measured[measured.len() / 2], measured[0]);
            println!("{:<44} {median:>10.1} {least:>8.1}", row.name);
        }
    }
}

fn cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn count(probes: &str, is_in: impl Fn(&str) -> bool) -> usize {
    (0..PROBES)
        .filter(|index| is_in(&probes[index * LENGTH..(index + 1) * LENGTH]))
        .count()
}

/// The texts of the probed DIDs, one after the other, so that reading them costs next to nothing.
fn probes(number: impl Fn(u64) -> u64) -> String {
    let mut text = Vec::with_capacity(PROBES * LENGTH);
    for index in 0..PROBES as u64 {
        did(number(mixed(index) >> 8)).write_to(&mut text);
    }
    String::from_utf8(text).unwrap()
}

/// A DID of its own for each number, as evenly spread as real ones.
fn did(number: u64) -> PlcDid {
    let mut bytes = [0; 15];
    bytes[..8].copy_from_slice(&mixed(number).to_be_bytes());
    bytes[7..].copy_from_slice(&mixed(number ^ u64::MAX).to_be_bytes());
    PlcDid::from_bytes(&bytes)
}

/// The key of a binary fuse filter: 64 bits of the DID.
fn key(did: &str) -> u64 {
    let bytes = PlcDid::parse(did).unwrap().to_bytes();
    u64::from_be_bytes(*bytes.last_chunk().unwrap())
}

const fn mixed(number: u64) -> u64 {
    let number = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ number >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
    number ^ number >> 32
}

const PROBES: usize = 200_000;
const LENGTH: usize = PlcDid::TEXT_LENGTH;
const NOW: Micros = Micros::new(1_783_175_888_085_434);
