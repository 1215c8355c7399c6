//! Plays one world: the whole system in one process on simulated time, every choice from one seed.
//!
//! `jetwash-world SEED [MINUTES]` plays the seed for that many simulated minutes, 8 if not said, and
//! prints a line with the hash of its trace. If an invariant does not hold, it prints what, the end
//! of the trace, and how to play it again. `docs/world.md` says what is played and what is checked.
//!
//! - `hooks`: the randomness and the clocks of the process, from the seed.
//! - `chance`: random choices; `trace`: what has happened.
//! - `network`: what is true; `relay`: sends it; `cable`: the connections, which break.
//! - `process`: the program that embeds a Jetstream, which ends in every way.
//! - `ledger`: all that was ever in the log, and the checks; `reader` and `client`: those who read.
//! - `mirror`: a second program, which takes over the log of the first.
//! - `play`: one run.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod cable;
mod chance;
mod client;
mod filter;
#[cfg(target_os = "linux")]
mod hooks;
mod ledger;
mod mirror;
mod network;
mod play;
mod process;
mod reader;
mod relay;
mod trace;
mod truth;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::runtime::Builder;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let number = |text: Option<String>, default| text.map_or(default, |text| text.parse().unwrap());
    let seed = number(arguments.next(), 1);
    let minutes = number(arguments.next(), MINUTES);
    #[cfg(target_os = "linux")]
    hooks::begin(seed);
    let panics = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&panics);
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        counted.fetch_add(1, Ordering::Relaxed);
        tell(panic);
    }));
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let mut told = runtime.block_on(play::play(seed, minutes));
    if panics.load(Ordering::Relaxed) > 0 {
        told.failures.push("something panicked".to_owned());
    }
    // What is left of the world has no order any more.
    runtime.shutdown_background();
    if told.failures.is_empty() {
        println!(
            "seed {seed}: trace {:016x}, {:.2} simulated hours, {} frames, {} events, {}",
            told.hash,
            told.played.as_secs_f64() / 3600.0,
            told.frames,
            told.events,
            told.faults
        );
        return ExitCode::SUCCESS;
    }
    for line in &told.tail {
        println!("  {line}");
    }
    for failure in told.failures.iter().take(10) {
        println!("seed {seed}: {failure}");
    }
    println!(
        "seed {seed}: trace {:016x}; again with `SEED={seed} cargo test -p jetwash-world`",
        told.hash
    );
    ExitCode::FAILURE
}

const MINUTES: u64 = 8;
