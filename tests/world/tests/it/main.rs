//! Plays worlds, each in a process of its own: what it draws does not depend on those before it.
//!
//! - `SEED=n`: plays that seed alone, and prints its trace.
//! - `JETWASH_WORLD_SEEDS`: how many seeds are played, from 1 on. Defaults to 4.
//! - `JETWASH_WORLD_FIRST`: the first of them. Defaults to 1.
//! - `JETWASH_WORLD_MINUTES`: plays seeds for that many minutes instead, as many as fit.

#![cfg(target_os = "linux")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::env;
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn every_world_keeps_the_invariants() {
    if let Some(seed) = number("SEED") {
        let mut world = world(seed, None);
        world.env("TRACE", "1").stdout(Stdio::inherit());
        assert!(world.status().unwrap().success(), "seed {seed} fails");
        return;
    }
    let first = number("JETWASH_WORLD_FIRST").unwrap_or(1);
    let minutes = number("JETWASH_WORLD_MINUTES");
    let end = minutes.map(|minutes| Instant::now() + Duration::from_secs(60 * minutes));
    let seeds = number("JETWASH_WORLD_SEEDS").unwrap_or(SEEDS);
    let last = end.map_or(first + seeds, |_| u64::MAX);
    let next = AtomicU64::new(first);
    let told = Mutex::new((0.0, 0, Vec::new()));
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= last || end.is_some_and(|end| end < Instant::now()) {
                        return;
                    }
                    let (is_good, text) = play(seed, None);
                    print!("{text}");
                    let mut told = told.lock().unwrap();
                    told.0 += hours(&text);
                    told.1 += 1;
                    if !is_good {
                        told.2.push(seed);
                    }
                }
            });
        }
    });
    let (hours, count, bad) = told.into_inner().unwrap();
    println!(
        "{count} worlds, {hours:.2} simulated hours, {} that failed",
        bad.len()
    );
    assert!(bad.is_empty(), "these seeds fail: {bad:?}");
}

#[test]
fn a_seed_always_gives_the_same_trace() {
    if number("SEED").is_some() {
        return;
    }
    for seed in [1, 77] {
        let (is_good, first) = play(seed, Some(2));
        assert!(is_good, "{first}");
        let (_, second) = play(seed, Some(2));
        assert_eq!(first, second);
    }
    assert_ne!(play(2, Some(1)).1, play(3, Some(1)).1);
}

fn number(name: &str) -> Option<u64> {
    Some(env::var(name).ok()?.parse().unwrap())
}

fn world(seed: u64, minutes: Option<u64>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jetwash-world"));
    command.arg(seed.to_string());
    command.args(minutes.map(|minutes| minutes.to_string()));
    command
}

/// Plays a seed in a process of its own, which is ended if it takes far too long. Returns whether it
/// is good, and what it has printed.
fn play(seed: u64, minutes: Option<u64>) -> (bool, String) {
    let mut limit = Command::new("timeout");
    let world = world(seed, minutes);
    limit
        .arg(LONGEST)
        .arg(world.get_program())
        .args(world.get_args());
    let Output {
        status,
        stdout,
        stderr,
    } = limit.output().unwrap();
    let mut text = String::from_utf8_lossy(&stdout).into_owned();
    if !status.success() {
        text += &String::from_utf8_lossy(&stderr);
        text += &format!("seed {seed}: {status}\n");
    }
    (status.success(), text)
}

/// The simulated hours that a world says it has played.
fn hours(text: &str) -> f64 {
    let before = text.split(" simulated hours").next().unwrap_or_default();
    let hours = before.rsplit(' ').next().unwrap_or_default();
    hours.parse().unwrap_or(0.0)
}

const SEEDS: u64 = 4;
/// In seconds.
const LONGEST: &str = "300";
