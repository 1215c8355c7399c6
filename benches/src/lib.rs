//! Shared pieces of the benches: what they run on, and how they are timed.
//!
//! A bench prints a table whose rows were measured in turns, round after round, so that a machine
//! that changes its speed changes all rows alike. What counts is the ratio of two rows; the
//! absolute figures are those of one machine on one day.

#![allow(clippy::print_stdout, reason = "a bench prints its figures")]

mod renew;
mod websocket;

use std::hint::black_box;
use std::time::{Duration, Instant};

use jetwash_sim::{Network, NetworkConfig};

pub use renew::{Renewable, round_of};
pub use websocket::{PONG, now_us, split_message, subscribe, subscribe_at, time_of};

/// Real frames where `JETWASH_CORPUS` has them, and simulated ones elsewhere, with a word on which.
#[must_use]
pub fn frames() -> (Vec<Vec<u8>>, &'static str) {
    match jetwash_corpus::corpus("real frames, so simulated ones are used") {
        Some(corpus) => (
            corpus.frames("firehose-2026-07-04/frames.bin.zst"),
            "real frames",
        ),
        None => (simulated_frames(1000), "simulated frames"),
    }
}

/// The first frames of the simulated network.
///
/// # Panics
///
/// When the simulator's defaults do not work.
#[must_use]
pub fn simulated_frames(count: usize) -> Vec<Vec<u8>> {
    let network = Network::new(NetworkConfig::full_size());
    #[allow(
        clippy::expect_used,
        reason = "a bench without its input has nothing to do"
    )]
    let network = network.expect("the simulator's defaults work");
    network.take(count).map(|frame| frame.bytes).collect()
}

/// Rows that are measured in turns.
pub struct Table<'a> {
    title: String,
    items: usize,
    rows: Vec<Row<'a>>,
}

struct Row<'a> {
    name: &'static str,
    prepare: Box<dyn FnMut() + 'a>,
    work: Box<dyn FnMut() + 'a>,
    rounds: Vec<Duration>,
}

impl<'a> Table<'a> {
    /// A table whose rows each work on `items` items a round.
    #[must_use]
    pub fn new(title: impl Into<String>, items: usize) -> Self {
        Self {
            title: title.into(),
            items,
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    #[must_use]
    pub fn row<T>(self, name: &'static str, work: impl FnMut() -> T + 'a) -> Self {
        self.row_after(name, || {}, work)
    }

    /// Adds a row with work that is done before each round and not measured.
    #[must_use]
    pub fn row_after<T>(
        mut self,
        name: &'static str,
        prepare: impl FnMut() + 'a,
        mut work: impl FnMut() -> T + 'a,
    ) -> Self {
        let work = Box::new(move || drop(black_box(work())));
        self.rows.push(Row {
            name,
            prepare: Box::new(prepare),
            work,
            rounds: Vec::new(),
        });
        self
    }

    /// Measures for about `time` in all, prints the table, and gives each row's median in
    /// nanoseconds an item.
    pub fn run(mut self, time: Duration) -> Vec<f64> {
        for row in &mut self.rows {
            (row.prepare)();
            (row.work)();
        }
        let start = Instant::now();
        while start.elapsed() < time {
            for row in &mut self.rows {
                (row.prepare)();
                let start = Instant::now();
                (row.work)();
                row.rounds.push(start.elapsed());
            }
        }
        let items = self.items as f64;
        let medians: Vec<f64> = self
            .rows
            .iter_mut()
            .map(|row| row.median().as_nanos() as f64 / items)
            .collect();
        println!("\n{}", self.title);
        println!("{:<44} {:>12} {:>14}", "", "ns each", "each second");
        for (row, &median) in self.rows.iter().zip(&medians) {
            println!("{:<44} {median:>12.0} {:>14.0}", row.name, 1e9 / median);
        }
        medians
    }
}

impl Row<'_> {
    fn median(&mut self) -> Duration {
        self.rounds.sort_unstable();
        self.rounds
            .get(self.rounds.len() / 2)
            .copied()
            .unwrap_or_default()
    }
}
