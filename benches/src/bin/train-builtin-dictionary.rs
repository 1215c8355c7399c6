//! Makes the dictionary that `jetwash-dict` brings along, from the simulator's events:
//!
//! ```text
//! cargo run --release -p jetwash-benches --bin train-builtin-dictionary -- crates/dict/src/builtin.zdict
//! ```
//!
//! The simulator's text is made up, so there is nobody's in the dictionary. The same code gives the
//! same file.

#![allow(clippy::print_stdout, reason = "it tells how good the dictionary is")]

use std::env;
use std::error::Error;
use std::fs;

use jetwash::store::{self, Location, Options, Read};
use jetwash::{Dictionary, Pipeline};
use jetwash_sim::{Network, NetworkConfig};

/// The date on which the samples were last chosen; another choice needs another number.
const ID: u32 = 20_261_122;
/// What comes from outside the simulator gains nothing from more, and a small one is faster.
const SIZE: usize = 8 << 10;
const SAMPLES: usize = 40_000;
const HELD_OUT: usize = 5_000;

fn main() -> Result<(), Box<dyn Error>> {
    let path = env::args()
        .nth(1)
        .ok_or("name the file that the dictionary is to be written to")?;
    let samples = lines(1, SAMPLES)?;
    let mut held_out = vec![("simulated events that it has not seen", lines(2, HELD_OUT)?)];
    if let Some(corpus) = jetwash_corpus::corpus("production's lines") {
        let lines = corpus.lines("firehose-2026-07-04/expected_v1.jsonl");
        let lines = lines.into_iter().map(String::into_bytes).collect();
        held_out.push(("lines of production", lines));
    }
    for size in [4 << 10, SIZE, 16 << 10, 32 << 10, 64 << 10, 112 << 10] {
        let dictionary = Dictionary::train(&samples, size, ID)?;
        for (name, lines) in &held_out {
            println!(
                "{:>7} bytes: {:.3} of {name}",
                size,
                ratio(&dictionary, lines)?
            );
        }
        if size == SIZE {
            fs::write(&path, dictionary.bytes())?;
        }
    }
    println!("written to {path}: {SIZE} bytes, number {ID}");
    Ok(())
}

/// The lines of so many frames of a simulated network.
fn lines(seed: u64, frames: usize) -> Result<Vec<Vec<u8>>, Box<dyn Error>> {
    let config = NetworkConfig {
        accounts: 2_000,
        seed,
        ..NetworkConfig::default()
    };
    let (appender, log) = store::open(Location::Memory, Options::default())?;
    let mut pipeline = Pipeline::new(appender);
    let start_us = config.start;
    for (frame, time_us) in Network::new(config)?.take(frames).zip(start_us..) {
        pipeline.frame("simulator", &frame.bytes, time_us)?;
    }
    pipeline.commit()?;
    let mut lines = Vec::new();
    let mut position = log.bounds().oldest_seq;
    while let Read::Events(run) = log.read(position)? {
        let page = run.block().json()?;
        lines.extend(
            run.indexes()
                .filter_map(|index| page.get(index))
                .map(<[u8]>::to_vec),
        );
        position = run.next_seq();
    }
    Ok(lines)
}

fn ratio(dictionary: &Dictionary, lines: &[Vec<u8>]) -> Result<f64, Box<dyn Error>> {
    let mut encoder = dictionary.encoder();
    let mut frames = Vec::new();
    for line in lines {
        encoder.encode(line, &mut frames)?;
    }
    Ok(frames.len() as f64 / lines.iter().map(Vec::len).sum::<usize>() as f64)
}
