//! The end-to-end load tool: a real server in a process of its own, a relay that feeds it, and as
//! many subscribers as asked for, all on loopback.
//!
//! ```text
//! cargo run --release -p jetwash-benches --bin load
//! cargo run --release -p jetwash-benches --bin load -- --subscribers 1,1000 --rate 2000
//! cargo run --release -p jetwash-benches --bin load -- --stall
//! cargo run --release -p jetwash-benches --bin load -- --replay 300000
//! cargo run --release -p jetwash-benches --bin load -- --modes
//! cargo run --release -p jetwash-benches --bin load -- --wires --subscribers 1000 --rate 500
//! ```
//!
//! Frames are made before the clock starts, and sent again and again with sequence numbers that go
//! on. The server's processor time and memory are its process's alone; the kernel's work for its
//! sockets is part of it. Delays are from an event's `time_us`, which is when its frame arrived, to
//! the return of the read that received it.

#![allow(clippy::print_stdout, reason = "its output is its purpose")]
#![allow(clippy::print_stderr, reason = "and the server's, where it warns")]

mod crowd;
mod frames;
mod modes;
mod relay;
mod wires;

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use jetwash_benches::{
    ServeArguments, Server, cpu_seconds, raise_file_limit, resident_bytes, serve,
};
use tempfile::TempDir;

use crate::crowd::{Crowd, Shape};
use crate::frames::Frames;
use crate::relay::Relay;

/// Loads a server with subscribers, and says what that costs it.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,

    /// How many subscribers, one measurement for each number
    #[arg(long, value_delimiter = ',', default_values_t = [1, 12, 100, 1000, 5000])]
    subscribers: Vec<usize>,

    /// How many events a second
    #[arg(long, value_delimiter = ',', default_values_t = [500, 2000])]
    rate: Vec<u32>,

    /// The options of the subscribers
    #[arg(long, value_enum, default_value_t = Mix::Mixed)]
    mix: Mix,

    /// How long each measurement takes
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration)]
    time: Duration,

    /// Keep the log in memory instead of on disk
    #[arg(long)]
    memory: bool,

    /// The server's --max-delay, if not its default
    #[arg(long)]
    max_delay: Option<String>,

    /// A `jetwash-server` to be loaded instead of this program's own server
    #[arg(long)]
    server: Option<PathBuf>,

    /// Let one of a hundred subscribers stop reading for so long
    #[arg(
        long,
        value_name = "TIME",
        num_args = 0..=1,
        default_missing_value = "60s",
        value_parser = humantime::parse_duration
    )]
    stall: Option<Duration>,

    /// Let one subscriber read this number of events from the start, as fast as it can
    #[arg(long, value_name = "EVENTS")]
    replay: Option<u64>,

    /// Compare the ways to compress, live and in playback
    #[arg(long)]
    modes: bool,

    /// Compare the two versions of the wire, live and in playback, with the largest number of
    /// subscribers and the highest rate
    #[arg(long)]
    wires: bool,

    /// How many different frames are made beforehand
    #[arg(long, default_value_t = 4000)]
    frames: usize,
}

#[derive(Debug, clap::Subcommand)]
enum Role {
    /// The server under load
    #[command(hide = true)]
    Serve(ServeArguments),
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Mix {
    /// Everything, one collection, a hundred accounts and a rare collection; half of each as JSON
    /// and half compressed
    Mixed,
    /// Everything as JSON
    Json,
    /// Everything compressed
    Zstd,
    /// A rare collection, as JSON: connections that hardly do anything
    Idle,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    raise_file_limit()?;
    match arguments.role {
        Some(Role::Serve(arguments)) => serve(arguments),
        None => Load::prepare(arguments)?.run(),
    }
}

/// The settings that all measurements share.
struct Load {
    arguments: Arguments,
    frames: Arc<Frames>,
    /// For the dictionary and the logs.
    folder: TempDir,
}

/// A server, and the relay that feeds it.
struct Fed {
    server: Server,
    relay: Relay,
    /// The log, which goes with it.
    _log: TempDir,
}

impl Load {
    fn prepare(arguments: Arguments) -> Result<Self, Box<dyn Error>> {
        let frames = Arc::new(Frames::prepare(arguments.frames)?);
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join(DICTIONARY), frames.dictionary.bytes())?;
        Ok(Self {
            arguments,
            frames,
            folder,
        })
    }

    fn run(&self) -> Result<(), Box<dyn Error>> {
        if let Some(time) = self.arguments.stall {
            // With the server's own timeout, and with one that is over before it reads on.
            self.stall(&[], time)?;
            let timeout = format!("{}ms", time.as_millis() / 4);
            return self.stall(&["--write-timeout", &timeout], time);
        }
        if self.arguments.modes {
            return self.modes();
        }
        if self.arguments.wires {
            return self.wires();
        }
        if let Some(events) = self.arguments.replay {
            return self.replay(events);
        }
        println!(
            "{:>6} {:>6} {:>11} {:>7} {:>7} {:>7} {:>9} {:>8} {:>8} {:>8} {:>9} {:>6}",
            "ev/s",
            "subs",
            "deliv./s",
            "MB/s",
            "cores",
            "client",
            "us/event",
            "p50 ms",
            "p99 ms",
            "RSS MB",
            "KB/sub",
            "ended"
        );
        for &rate in &self.arguments.rate {
            let mut alone = None;
            for &subscribers in &self.arguments.subscribers {
                self.rung(rate, subscribers, &mut alone)?;
            }
        }
        Ok(())
    }

    /// A server whose relay has sent its first frames.
    fn feed(&self, burst: u64, more: &[&str]) -> Result<Fed, Box<dyn Error>> {
        let relay = Relay::start(Arc::clone(&self.frames))?;
        let log = tempfile::tempdir_in(self.folder.path())?;
        let text = |path: &std::path::Path| path.display().to_string();
        let mut arguments = vec![
            "--relay".to_owned(),
            format!("ws://{}", relay.address),
            "--dictionary".to_owned(),
            text(&self.folder.path().join(DICTIONARY)),
        ];
        if !self.arguments.memory {
            arguments.extend(["--data-dir".to_owned(), text(log.path())]);
        }
        if let Some(delay) = &self.arguments.max_delay {
            arguments.extend(["--max-delay".to_owned(), delay.clone()]);
        }
        arguments.extend(more.iter().map(ToString::to_string));
        let server = Server::start(self.arguments.server.as_ref(), 0, &arguments)?;
        relay.burst(burst);
        Ok(Fed {
            server,
            relay,
            _log: log,
        })
    }

    fn crowd(
        &self,
        server: &Server,
        shapes: &[Shape],
        records: bool,
    ) -> Result<Crowd, Box<dyn Error>> {
        let sample = (shapes.len() as u64 / 16).clamp(1, 64);
        let dictionary = &self.frames.dictionary;
        Crowd::connect(server.address(), shapes, dictionary, sample, records)
    }

    fn frame_rate(&self, events: u32) -> f64 {
        f64::from(events) / self.frames.events_per_frame
    }

    /// One row of the table.
    fn rung(
        &self,
        rate: u32,
        subscribers: usize,
        alone: &mut Option<u64>,
    ) -> Result<(), Box<dyn Error>> {
        // Enough to fill the log's memory for the newest events.
        let Fed {
            server,
            relay,
            _log,
        } = self.feed(10_000, &[])?;
        let shapes: Vec<_> = (0..subscribers).map(|index| self.shape(index)).collect();
        thread::sleep(Duration::from_secs(2));
        let crowd = self.crowd(&server, &shapes, false)?;
        relay.set_rate(self.frame_rate(rate));
        thread::sleep(Duration::from_secs(2));

        let read = || {
            (
                crowd.shared().events.load(Ordering::Relaxed),
                crowd.shared().bytes.load(Ordering::Relaxed),
            )
        };
        let (events, bytes) = read();
        let (cpu, own, start) = (
            cpu_seconds(server.id())?,
            cpu_seconds(std::process::id())?,
            Instant::now(),
        );
        crowd.shared().phase.store(1, Ordering::Relaxed);
        thread::sleep(self.arguments.time);
        let seconds = start.elapsed().as_secs_f64();
        let (cpu, own) = (
            cpu_seconds(server.id())? - cpu,
            cpu_seconds(std::process::id())? - own,
        );
        let after = read();
        crowd.shared().phase.store(2, Ordering::Relaxed);
        let (events, bytes) = ((after.0 - events) as f64, (after.1 - bytes) as f64);

        let resident = resident_bytes(server.id())?;
        let base = *alone.get_or_insert(resident);
        let each = resident.saturating_sub(base) as f64 / (subscribers.max(2) - 1) as f64;
        let delays = crowd.delays(1);
        println!(
            "{rate:>6} {subscribers:>6} {:>11.0} {:>7.1} {:>7.2} {:>7.2} {:>9.2} {:>8.1} {:>8.1} {:>8.1} {:>9.1} {:>6}",
            events / seconds,
            bytes / seconds / 1e6,
            cpu / seconds,
            own / seconds,
            cpu * 1e6 / events,
            percentile(&delays, 50),
            percentile(&delays, 99),
            resident as f64 / 1e6,
            each / 1e3,
            crowd.shared().ended.load(Ordering::Relaxed),
        );
        Ok(())
    }

    fn shape(&self, index: usize) -> Shape {
        let everything = String::new();
        let rare = format!("wantedCollections={}", self.frames.rare);
        let (filter, is_compressed) = match self.arguments.mix {
            Mix::Json => (everything, false),
            Mix::Zstd => (everything, true),
            Mix::Idle => (rare, false),
            Mix::Mixed => {
                let filter = match index / 2 % 4 {
                    0 => everything,
                    1 => "wantedCollections=app.bsky.feed.like".to_owned(),
                    2 => {
                        let dids = self.frames.dids.iter();
                        let wanted: Vec<_> = dids.map(|did| format!("wantedDids={did}")).collect();
                        wanted.join("&")
                    }
                    _ => rare,
                };
                (filter, index % 2 == 1)
            }
        };
        Shape {
            query: format!("{filter}&compress={is_compressed}"),
            is_compressed,
            is_v2: false,
        }
    }

    /// The first of a hundred subscribers stops reading, and later continues.
    fn stall(&self, more: &[&str], time: Duration) -> Result<(), Box<dyn Error>> {
        let rate = self.arguments.rate.last().copied().unwrap_or(2000);
        println!(
            "\n100 subscribers at {rate} events/s; one reads nothing for {time:?}; the server has {}",
            if more.is_empty() {
                "its defaults".to_owned()
            } else {
                more.join(" ")
            }
        );
        let fed = self.feed(0, more)?;
        let shapes = vec![
            Shape {
                query: "compress=false".to_owned(),
                is_compressed: false,
                is_v2: false,
            };
            100
        ];
        thread::sleep(Duration::from_secs(1));
        let crowd = self.crowd(&fed.server, &shapes, true)?;
        fed.relay.set_rate(self.frame_rate(rate));
        thread::sleep(Duration::from_secs(2));
        let phases = [("before", false), ("stalled", true), ("resumed", false)];
        for (index, (name, is_stalled)) in phases.into_iter().enumerate() {
            crowd.shared().phase.store(index + 1, Ordering::Relaxed);
            crowd
                .shared()
                .is_stalled
                .store(is_stalled, Ordering::Relaxed);
            thread::sleep(if is_stalled {
                time
            } else {
                Duration::from_secs(6)
            });
            let delays = crowd.delays(index + 1);
            println!(
                "{name:>10}: the others' p50 {:.1} ms, p99 {:.1} ms; the one has {} events, \
                 another has {}",
                percentile(&delays, 50),
                percentile(&delays, 99),
                crowd.record(0).len(),
                crowd.record(1).len(),
            );
        }
        fed.relay.set_rate(0.0);
        thread::sleep(Duration::from_secs(2));
        let (one, another) = (crowd.record(0), crowd.record(1));
        let from = one
            .first()
            .max(another.first())
            .copied()
            .unwrap_or_default();
        let since = |times: &[u64]| times[times.partition_point(|&time| time < from)..].to_vec();
        let (one, another) = (since(&one), since(&another));
        println!(
            "       end: the server ended {} connections; {} and {} events, which are {}",
            crowd.shared().ended.load(Ordering::Relaxed),
            one.len(),
            another.len(),
            if one == another {
                "the same"
            } else {
                "NOT THE SAME"
            },
        );
        Ok(())
    }

    /// One subscriber reads the log from its start.
    fn replay(&self, events: u64) -> Result<(), Box<dyn Error>> {
        let fed = self.feed((events as f64 / self.frames.events_per_frame) as u64, &[])?;
        let shape = |is_compressed| Shape {
            query: format!("cursor=0&compress={is_compressed}"),
            is_compressed,
            is_v2: false,
        };
        let one = |is_compressed| {
            let dictionary = &self.frames.dictionary;
            Crowd::connect(
                fed.server.address(),
                &[shape(is_compressed)],
                dictionary,
                1 << 30,
                false,
            )
        };
        // How many there are is known when no more come.
        let total = {
            let crowd = one(true)?;
            let (mut total, mut since) = (0, Instant::now());
            while since.elapsed() < Duration::from_secs(2) {
                thread::sleep(Duration::from_millis(50));
                let now = crowd.shared().events.load(Ordering::Relaxed);
                if now > total {
                    (total, since) = (now, Instant::now());
                }
            }
            total
        };
        println!("\nreplay of {total} events to one subscriber");
        for round in 1..=3 {
            for (name, is_compressed) in [("JSON", false), ("compressed", true)] {
                let (cpu, own) = (
                    cpu_seconds(fed.server.id())?,
                    cpu_seconds(std::process::id())?,
                );
                let start = Instant::now();
                let crowd = one(is_compressed)?;
                while crowd.shared().events.load(Ordering::Relaxed) < total {
                    if start.elapsed() > Duration::from_secs(60) {
                        return Err("the replay did not end".into());
                    }
                    thread::sleep(Duration::from_micros(500));
                }
                let seconds = start.elapsed().as_secs_f64();
                let cpu = cpu_seconds(fed.server.id())? - cpu;
                let own = cpu_seconds(std::process::id())? - own;
                println!(
                    "{name:>12} {round}: {:>9.0} events/s, {:>6.0} MB/s, {:.2} us of the server's \
                     processor time and {:.2} of the client's for each, resident {:.1} MB",
                    total as f64 / seconds,
                    crowd.shared().bytes.load(Ordering::Relaxed) as f64 / seconds / 1e6,
                    cpu * 1e6 / total as f64,
                    own * 1e6 / total as f64,
                    resident_bytes(fed.server.id())? as f64 / 1e6,
                );
            }
        }
        Ok(())
    }
}

/// In milliseconds.
fn percentile(sorted: &[u32], percent: usize) -> f64 {
    let index = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    f64::from(sorted.get(index).copied().unwrap_or_default()) / 1000.0
}

const DICTIONARY: &str = "load.zdict";
