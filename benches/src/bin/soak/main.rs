//! The soak: for an hour, or as long as asked for, a server on disk is fed by a relay that does
//! everything wrong that relays do, stopped and killed at random times, and read by subscribers that
//! come and go with other filters, cursors, wires and encodings. Each event that one of them gets is
//! compared with what the simulator knows to be true.
//!
//! ```text
//! cargo run --release -p jetwash-benches --bin soak -- --out soak
//! cargo run --release -p jetwash-benches --bin soak -- --for 60s --out soak --seed 7
//! ```
//!
//! The parts, each on a thread of its own but for the server, which is a process:
//!
//! - `relay` and `maker` send the simulator's frames and what is wrong with them, and write down in
//!   the `truth` which events have to come.
//! - `crowd`, with a `member`, a `wish` and a `check` for each subscriber, reads and compares;
//!   `dialers` connect for it.
//! - `process` ends the server and starts it again.
//! - `samples` and `chart` write what the server took over time.
//! - `audit` reads the whole log at the end.

#![allow(clippy::print_stdout, reason = "its output is its purpose")]
#![allow(clippy::print_stderr, reason = "and what is wrong is said at once")]

mod arguments;
mod audit;
mod chart;
mod check;
mod crowd;
mod dialers;
mod filter;
mod maker;
mod member;
mod message;
mod process;
mod random;
mod relay;
mod samples;
mod seen;
mod shared;
mod truth;
mod wish;

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use clap::Parser as _;
use jetwash::Dictionary;
use jetwash_benches::{raise_file_limit, serve};
use jetwash_sim::{Network, NetworkConfig};

use crate::arguments::{Arguments, Role};
use crate::audit::audit;
use crate::crowd::Crowd;
use crate::maker::FIRST_NUMBER;
use crate::process::Process;
use crate::random::Random;
use crate::relay::Relay;
use crate::samples::{Samples, sample_every};
use crate::shared::{Phase, Shared};
use crate::truth::{Truth, lock};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut arguments = Arguments::parse();
    raise_file_limit()?;
    match arguments.role.take() {
        Some(Role::Serve(arguments)) => serve(arguments).map(|()| ExitCode::SUCCESS),
        None => soak(&arguments),
    }
}

fn soak(arguments: &Arguments) -> Result<ExitCode, Box<dyn Error>> {
    fs::create_dir_all(&arguments.out)?;
    let folder = tempfile::tempdir_in(&arguments.out)?;
    let dictionary = Dictionary::builtin()?;
    let dictionary_file = folder.path().join("soak.zdict");
    fs::write(&dictionary_file, dictionary.bytes())?;
    let log = folder.path().join("log");

    let frames = f64::from(arguments.rate) * arguments.run.as_secs_f64();
    let shared = Arc::new(Shared::new(Truth::new((frames * 1.3) as usize + 100_000)));
    let (url, relay) = Relay::start(Arc::clone(&shared), arguments, network(arguments, frames)?)?;
    let random = Random::new(arguments.seed, 4);
    let (life, data) = (arguments.life, log.as_path());
    let mut process = Process::start(
        Arc::clone(&shared),
        random,
        life,
        &url,
        data,
        &dictionary_file,
    )?;
    let address = process.server().ok_or("no server")?.address();
    let crowd = Crowd::start(Arc::clone(&shared), address, &dictionary, arguments)?;

    let mut samples = Samples::new();
    watch(arguments, &shared, &mut process, &mut samples, data)?;
    shared.wants_cut.store(false, Ordering::Release);
    shared.set_phase(Phase::Draining);
    let drained = drain(&shared, arguments.subscribers);
    let audited = match drained {
        true => audit(address, &shared, false)? + audit(address, &shared, true)?,
        false => 0,
    };
    shared.set_phase(Phase::Over);
    crowd.join().map_err(|_| "the subscribers panicked")??;
    let (kills, stops) = (process.kills, process.stops);
    process.end()?;
    relay.join().map_err(|_| "the relay panicked")?;
    let title = title(arguments, &shared, kills, stops);
    samples.write(&arguments.out, &title)?;
    report(&title, &shared, &samples, audited);
    let is_good = drained && audited > 0 && shared.faults().is_empty();
    Ok(if is_good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The simulated network. Its time passes with its frames, and must not run ahead of the clock.
fn network(arguments: &Arguments, frames: f64) -> Result<Network, Box<dyn Error>> {
    // The real network has about as many frames a second.
    let lasts = Duration::from_secs_f64(frames * 1.2 / 343.0);
    let start = SystemTime::now() - lasts - Duration::from_secs(600);
    let config = NetworkConfig {
        seed: arguments.seed,
        rare_per_million: RARE,
        ..NetworkConfig::default()
    };
    let config = NetworkConfig {
        first_seq: FIRST_NUMBER,
        ..config.starting_at(start)
    };
    Ok(Network::new(config)?)
}

/// Lets everything happen for the whole time.
fn watch(
    arguments: &Arguments,
    shared: &Shared,
    process: &mut Process,
    samples: &mut Samples,
    log: &Path,
) -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    let every = sample_every(arguments.run);
    let mut sampled = start;
    let mut told = start;
    while start.elapsed() < arguments.run {
        if let Some(what) = process.look()? {
            samples.mark(what);
        }
        let now = Instant::now();
        if now - sampled >= every
            && let Some(server) = process.server()
        {
            sampled += every;
            samples.take(server.id(), log, shared)?;
        }
        if now - told >= TELL {
            told = now;
            let (made, seen) = {
                let truth = lock(&shared.truth);
                (truth.len(), truth.seen())
            };
            let compared = shared.tally.events.load(Ordering::Relaxed);
            eprintln!(
                "{:>5.0} s: {made} events, {seen} of them seen, {compared} compared, wrong: {:?}",
                start.elapsed().as_secs_f64(),
                shared.faults()
            );
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Waits until every subscriber has got everything, and says whether that came to be.
fn drain(shared: &Shared, subscribers: usize) -> bool {
    let start = Instant::now();
    while start.elapsed() < LONGEST_DRAIN {
        let is_seen = {
            let truth = lock(&shared.truth);
            truth.seen() == truth.len()
        };
        if is_seen && shared.done.load(Ordering::Relaxed) == subscribers {
            return true;
        }
        thread::sleep(Duration::from_millis(100));
    }
    let done = shared.done.load(Ordering::Relaxed);
    shared.fault(
        "missing",
        format!("only {done} of {subscribers} subscribers got everything"),
    );
    false
}

/// Says what the run was, with the rate that the relay came to.
fn title(arguments: &Arguments, shared: &Shared, kills: u32, stops: u32) -> String {
    let seconds = arguments.run.as_secs_f64();
    let rate = shared.tally.frames.load(Ordering::Relaxed) as f64 / seconds;
    format!(
        "{seconds:.0} s at {rate:.0} frames a second, {} subscribers, {kills} kills and {stops} stops",
        arguments.subscribers
    )
}

fn report(title: &str, shared: &Shared, samples: &Samples, audited: usize) {
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let tally = &shared.tally;
    let events = lock(&shared.truth).len();
    println!("{title}");
    println!(
        "{} frames made {events} events; the relay's faults: {:?}",
        count(&tally.frames),
        lock(&tally.faults)
    );
    println!(
        "{} connections, {} refused, ended by {} stops and {} kills, {} of slow ones; {} filters changed",
        count(&tally.connections),
        count(&tally.refused),
        count(&tally.stopped),
        count(&tally.broken),
        count(&tally.slow),
        count(&tally.changes)
    );
    println!(
        "{} events compared ({:.1} GB on sockets), and the whole log on both wires: {audited}",
        count(&tally.events),
        count(&tally.bytes) as f64 / 1e9
    );
    let faults = shared.faults();
    let of = |kind| faults.get(kind).copied().unwrap_or(0);
    println!(
        "missing {}, extra {}, out of order {}, wrong {}, lost {}, closed {}, broken off {}, refused {}",
        of("missing"),
        of("extra"),
        of("out of order"),
        of("wrong"),
        of("lost"),
        of("closed"),
        of("broken"),
        of("refused")
    );
    for part in [0.1, 0.5, 1.0] {
        if let Some(sample) = samples.at(part) {
            println!(
                "at {:>3.0} %: {:.1} MB resident, {} descriptors",
                part * 100.0,
                sample.resident as f64 / 1e6,
                sample.descriptors
            );
        }
    }
    println!(
        "this program itself: up to {:.0} MB resident",
        samples.most_own() as f64 / 1e6
    );
}

/// Of a million decisions of the network, how many are about something else than records.
const RARE: u32 = 20_000;
const TELL: Duration = Duration::from_secs(10);
const LONGEST_DRAIN: Duration = Duration::from_secs(180);
