//! Measures attacks by strangers on a server: its memory, and the delay of an honest reader, before,
//! during and after each kind of attack.
//!
//! ```text
//! jetwash-server --sim --listen 127.0.0.1:6008 &
//! cargo run --release -p jetwash-benches --bin attack -- --pid $! 127.0.0.1:6008
//! cargo run --release -p jetwash-benches --bin attack -- --pid $! --only flood,unread 127.0.0.1:6008
//! ```
//!
//! It is for servers of one's own, and works with any that speaks the protocol of Jetstream. On
//! loopback the honest reader has another address than the attackers. Delays are from an event's
//! `time_us` to the return of the read that received it, so both have to share a clock.

#![allow(clippy::print_stdout, reason = "its output is its purpose")]

mod attacks;
mod reader;
mod socket;

use std::error::Error;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use jetwash_serve::raise_file_limit;

use crate::attacks::{Attack, Target};
use crate::reader::Reader;
use crate::socket::{Subscriber, connect};

/// Attacks a server of one's own, and says what that costs it and its honest readers.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where the server's subscribers connect
    server: SocketAddr,

    /// The server's process, to see its memory
    #[arg(long)]
    pid: Option<u32>,

    /// Where the server's /healthz is
    #[arg(long, value_name = "ADDRESS")]
    health: Option<SocketAddr>,

    /// Only these attacks
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Attack>,

    /// How many connections each attack makes, if not its own number
    #[arg(long)]
    connections: Option<usize>,

    /// How long the server is looked at before, during and after each attack
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration)]
    time: Duration,

    /// The honest reader's address
    #[arg(long)]
    honest: Option<IpAddr>,
}

/// The figures of one phase.
struct Seen {
    resident: f64,
    p99: f64,
    events: usize,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    raise_file_limit()?;
    let elsewhere = arguments.server.ip().is_loopback() && arguments.server.is_ipv4();
    let elsewhere = elsewhere.then(|| Ipv4Addr::new(127, 0, 0, 2).into());
    let honest = arguments.honest.or(elsewhere);
    println!(
        "{:<12} {:>5} {:>5} {:>26} {:>29} {:>9} {:>5} {:>8} {:>7}",
        "", "asked", "held", "resident MB", "p99 ms", "events", "lost", "newcomer", "healthz"
    );
    println!(
        "{:<12} {:>5} {:>5} {:>8} {:>8} {:>8} {:>9} {:>9} {:>9}",
        "attack", "", "", "before", "during", "after", "before", "during", "after"
    );
    for attack in Attack::all() {
        if arguments.only.is_empty() || arguments.only.contains(&attack) {
            row(&arguments, honest, attack)?;
        }
    }
    Ok(())
}

/// One attack.
fn row(
    arguments: &Arguments,
    honest: Option<IpAddr>,
    attack: Attack,
) -> Result<(), Box<dyn Error>> {
    let reader = Reader::start(arguments.server, honest)?;
    thread::sleep(Duration::from_secs(1));
    let before = look(arguments, &reader)?;
    let is_over = AtomicBool::new(false);
    let asked = arguments
        .connections
        .unwrap_or_else(|| attack.connections());
    let target = Target {
        server: arguments.server,
        connections: asked,
        is_over: &is_over,
    };
    let (during, held, newcomer, health) = thread::scope(|scope| {
        let attacking = scope.spawn(|| attack.run(&target));
        let during = look(arguments, &reader);
        let query = attack.newcomer();
        let newcomer = Subscriber::connect(arguments.server, honest, query, None).is_ok();
        let health = arguments.health.map(is_healthy);
        is_over.store(true, Ordering::Relaxed);
        let held = attacking.join().unwrap_or(0);
        (during, held, newcomer, health)
    });
    let during = during?;
    thread::sleep(Duration::from_secs(2));
    let after = look(arguments, &reader)?;
    let say = |works: bool| if works { "yes" } else { "NO" };
    println!(
        "{:<12} {asked:>5} {held:>5} {:>8.1} {:>8.1} {:>8.1} {:>9.1} {:>9.1} {:>9.1} {:>9} {:>5} {:>8} {:>7}",
        format!("{attack:?}").to_lowercase(),
        before.resident,
        during.resident,
        after.resident,
        before.p99,
        during.p99,
        after.p99,
        during.events,
        reader.lost(),
        say(newcomer),
        health.map_or("", say),
    );
    Ok(())
}

/// Looks at the server for a while. Its memory is the most that it had.
fn look(arguments: &Arguments, reader: &Reader) -> Result<Seen, Box<dyn Error>> {
    reader.take();
    let start = Instant::now();
    let mut resident: u64 = 0;
    while start.elapsed() < arguments.time {
        thread::sleep(Duration::from_millis(50));
        if let Some(process) = arguments.pid {
            resident = resident.max(resident_bytes(process)?);
        }
    }
    let mut delays = reader.take();
    delays.sort_unstable();
    let index = (delays.len() * 99 / 100).min(delays.len().saturating_sub(1));
    // Without any event the delay is longer than what was waited for.
    let p99 = delays
        .get(index)
        .map_or(f64::INFINITY, |&micros| micros as f64 / 1e3);
    Ok(Seen {
        resident: resident as f64 / 1e6,
        p99,
        events: delays.len(),
    })
}

fn is_healthy(address: SocketAddr) -> bool {
    let ask = || -> std::io::Result<bool> {
        use std::io::{Read, Write};

        let mut stream = connect(address, None, None)?;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.starts_with("HTTP/1.1 200 "))
    };
    ask().unwrap_or(false)
}

/// The memory of a process that is resident, in bytes.
fn resident_bytes(process: u32) -> Result<u64, Box<dyn Error>> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next());
    Ok(kilobytes.ok_or("no resident size")?.parse::<u64>()? * 1024)
}
