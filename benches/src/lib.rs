//! Shared pieces of the benches: what they run on, and how they are timed.
//!
//! A bench prints a table whose rows were measured in turns, round after round, so that a machine
//! that changes its speed changes all rows alike. What counts is the ratio of two rows; the
//! absolute figures are those of one machine on one day. The time that the thread had a processor
//! stands beside the time that passed: where other programs run, only that one can be compared.

#![allow(clippy::print_stdout, reason = "a bench prints its figures")]
#![allow(clippy::print_stderr, reason = "and what a server warns of")]

mod link;
mod renew;
mod server;
mod websocket;

use std::hint::black_box;
use std::time::{Duration, Instant};

use jetwash_sim::{Network, NetworkConfig};
use rustix::time::{ClockId, clock_gettime};

pub use link::Link;
pub use renew::{Renewable, round_of};
pub use server::{ServeArguments, Server, cpu_seconds, raise_file_limit, resident_bytes, serve};
pub use websocket::{PONG, add_header, now_us, split_message, subscribe, subscribe_at, time_of};

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
    /// The time that the thread had a processor, which leaves out other threads of the row.
    own: Vec<Duration>,
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
            own: Vec::new(),
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
                let (start, own) = (Instant::now(), own_time());
                (row.work)();
                row.rounds.push(start.elapsed());
                row.own.push(own_time().saturating_sub(own));
            }
        }
        let items = self.items as f64;
        let medians: Vec<f64> = self
            .rows
            .iter_mut()
            .map(|row| median(&mut row.rounds).as_nanos() as f64 / items)
            .collect();
        println!("\n{}", self.title);
        println!(
            "{:<44} {:>12} {:>14} {:>18}",
            "", "ns each", "each second", "ns of this thread"
        );
        for (row, &each) in self.rows.iter_mut().zip(&medians) {
            let own = median(&mut row.own).as_nanos() as f64 / items;
            let name = row.name;
            println!("{name:<44} {each:>12.0} {:>14.0} {own:>18.0}", 1e9 / each);
        }
        medians
    }
}

fn median(rounds: &mut [Duration]) -> Duration {
    rounds.sort_unstable();
    rounds.get(rounds.len() / 2).copied().unwrap_or_default()
}

/// The time that this thread has had a processor.
fn own_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}
