//! Measures what a log needs to remember the repositories of millions of accounts: bytes on disk,
//! resident memory, and the time of a look-up.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints its figures, and ends where its input is not what it should be"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Parser;
use jetwash::Micros;
use jetwash::store::{self, AccountState, Appender, Location, Options, PackedRepo};
use jetwash::verification::RepoState;

#[derive(Parser)]
struct Arguments {
    /// How many accounts there are.
    #[arg(long, default_value_t = 10_000_000)]
    accounts: u64,
    /// The memory budget of the log, in bytes.
    #[arg(long, default_value_t = 64 << 20)]
    memory: usize,
    /// How many accounts are looked up, each time.
    #[arg(long, default_value_t = 20_000)]
    look_ups: u64,
    /// A folder for the log, which must not exist; it is deleted at the end.
    #[arg(long)]
    folder: PathBuf,
}

fn main() {
    let arguments = Arguments::parse();
    fs::create_dir(&arguments.folder).unwrap();
    let mut log = open(&arguments);
    let start = Instant::now();
    for number in 0..arguments.accounts {
        log.set_account(&did(number), &state(number));
        if number % BATCH == BATCH - 1 {
            log.commit().unwrap();
        }
        if number % (BATCH * 256) == 0 {
            log.trim(NOW).unwrap();
        }
    }
    log.commit().unwrap();
    let each = start.elapsed().as_secs_f64() * 1e6 / arguments.accounts as f64;
    println!("{} accounts set, {each:.2} µs each", arguments.accounts);
    report("after setting them", &arguments);
    look_up("random, the log as it was written", &mut log, &arguments, 1);
    drop(log);
    let start = Instant::now();
    let mut log = open(&arguments);
    println!("opened again in {:.2} s", start.elapsed().as_secs_f64());
    look_up("random, opened again", &mut log, &arguments, 2);
    look_up("the same once more", &mut log, &arguments, 2);
    for number in 0..arguments.accounts / 100 {
        log.set_account(&did(mix(number) % arguments.accounts), &state(number));
        if number % BATCH == BATCH - 1 {
            log.commit().unwrap();
        }
    }
    log.commit().unwrap();
    report("after setting one in a hundred again", &arguments);
    drop(log);
    fs::remove_dir_all(&arguments.folder).unwrap();
}

fn open(arguments: &Arguments) -> Appender {
    let options = Options::default().memory_budget(arguments.memory);
    let location = Location::Disk(arguments.folder.clone());
    store::open(location, options).unwrap().0
}

fn look_up(name: &str, log: &mut Appender, arguments: &Arguments, seed: u64) {
    let start = Instant::now();
    for number in 0..arguments.look_ups {
        let number = mix(number + (seed << 40)) % arguments.accounts;
        let found = log.account(&did(number)).unwrap();
        assert_eq!(found.unwrap().rev, number + 1);
    }
    let each = start.elapsed().as_secs_f64() * 1e6 / arguments.look_ups as f64;
    println!("{name}: {each:.1} µs a look-up");
    report(name, arguments);
}

/// Prints what the disk holds and what is resident.
fn report(name: &str, arguments: &Arguments) {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        let kilobytes = line.split_whitespace().nth(1).unwrap();
        kilobytes.parse::<f64>().unwrap() / 1024.0
    };
    let disk = size_of(&arguments.folder);
    println!(
        "{name}: {:.1} bytes an account on disk ({} MB); resident {:.1} MiB of its own and {:.1} MiB \
         of files, {:.1} MiB at most",
        disk as f64 / arguments.accounts as f64,
        disk / 1_000_000,
        field("RssAnon"),
        field("RssFile"),
        field("VmHWM"),
    );
}

fn size_of(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => size_of(&entry.path()),
        // A file may have been deleted meanwhile.
        metadata => metadata.map_or(0, |metadata| metadata.len()),
    };
    entries.map(size).sum()
}

/// The state of an account whose repository is known, with one operation of its newest revision.
fn state(number: u64) -> AccountState {
    let mut bytes = [0; RepoState::LENGTH];
    for (index, part) in bytes.chunks_mut(8).enumerate() {
        let random = mix(number ^ (index as u64) << 56).to_le_bytes();
        part.copy_from_slice(&random[..part.len()]);
    }
    let mut state = AccountState::default();
    state.rev = number + 1;
    state.ops = vec![mix(number)];
    state.repo = PackedRepo::new(&bytes);
    state
}

/// The DID of a number: those of numbers in a row are in no order.
fn did(number: u64) -> String {
    let digits = (0..24_u64).map(|place| {
        let random = mix(number ^ (place / 12) << 60);
        char::from(DIGITS[(random >> (5 * (place % 12))) as usize % DIGITS.len()])
    });
    let digits: String = digits.collect();
    format!("did:plc:{digits}")
}

/// Numbers that look random: `SplitMix64`.
const fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

const DIGITS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
const BATCH: u64 = 512;
const NOW: Micros = Micros::new(1_900_000_000_000_000);
