//! Compares ways of sending the firehose: bytes a day, by collection, and processor time.
//!
//! ```text
//! cargo run --release -p jetwash-benches --bin bandwidth -- --frames frames.bin.zst --train lines.jsonl.zst
//! cargo run --release -p jetwash-benches --bin bandwidth -- --store data/log
//! cargo run --release -p jetwash-benches --bin bandwidth -- --relay bsky.network --for 10m
//! ```
//!
//! Without arguments it takes the recorded data that `JETWASH_CORPUS` names. Dictionaries are trained
//! on `--train`, or else on the accounts of one half, and measured on the other.
//!
//! Figures a day are for as many events as the first description of Jetstream had: 41 GB of JSON at
//! 482 bytes, which is 85 million.

#![allow(clippy::print_stdout, reason = "its output is its purpose")]

mod arguments;
mod chart;
mod dictionaries;
mod measure;
mod source;

use std::error::Error;
use std::fs;

use clap::Parser;

use crate::arguments::Arguments;
use crate::chart::Bar;
use crate::dictionaries::train;
use crate::measure::{Measured, by_collection, for_many, measure};
use crate::source::{Recorded, recorded};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let Recorded {
        lines,
        frame_bytes,
        training,
        other,
        origin,
    } = recorded(&arguments)?;
    println!("{} events: {origin}", lines.len());
    let dictionaries = train(&training)?;
    let mut measured = measure(&lines, frame_bytes, &dictionaries, other.as_ref())?;
    let json = lines.iter().map(String::len).sum::<usize>() as f64 / lines.len() as f64;
    print_table(&measured, json);
    println!();
    by_collection(&lines, &dictionaries)?;
    println!();
    for_many(&lines, &dictionaries)?;
    if let Some(path) = &arguments.svg {
        measured.retain(|row| row.is_charted);
        fs::write(path, chart::draw(&bars(&measured)))?;
        println!("\nchart: {}", path.display());
    }
    Ok(())
}

fn print_table(measured: &[Measured], json: f64) {
    println!(
        "\n{:<44} {:>9} {:>7} {:>7} {:>8} {:>8}   first description",
        "", "B/event", "ratio", "GB/day", "enc. µs", "dec. µs"
    );
    for row in measured {
        let cost = |micros: Option<f64>| micros.map_or(String::new(), |it| format!("{it:.2}"));
        println!(
            "{:<44} {:>9.1} {:>7.3} {:>7.1} {:>8} {:>8}   {}",
            row.name,
            row.bytes,
            row.bytes / json,
            gigabytes_a_day(row.bytes),
            cost(row.encode_us),
            cost(row.decode_us),
            row.first_description,
        );
    }
}

fn bars(measured: &[Measured]) -> Vec<Bar> {
    let bar = |row: &Measured| Bar {
        name: row.name.clone(),
        ours: gigabytes_a_day(row.bytes),
        theirs: row.first_gigabytes,
    };
    measured.iter().map(bar).collect()
}

/// Gigabytes a day at this number of bytes an event.
fn gigabytes_a_day(bytes: f64) -> f64 {
    bytes * EVENTS_A_DAY / 1e9
}

/// 41 GB of JSON at 482 bytes.
const EVENTS_A_DAY: f64 = 41e9 / 482.0;
