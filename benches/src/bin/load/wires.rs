//! Measures what version 2 of the wire costs the server beside version 1.

use std::error::Error;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use jetwash_benches::cpu_seconds;

use crate::crowd::{Crowd, Shape};
use crate::modes::wait_for_all;
use crate::{Fed, Load};

impl Load {
    /// The server's processor time for each event delivered to many subscribers who want
    /// everything, and the speed at which they read the log, on both wires in turn. The
    /// ratios are to version 1 with the same compression.
    pub(crate) fn wires(&self) -> Result<(), Box<dyn Error>> {
        let rate = self.arguments.rate.iter().copied().max().unwrap_or(500);
        let readers = self.arguments.subscribers.iter().copied().max();
        let readers = readers.unwrap_or(1000);
        println!("live, {rate} events/s to {readers} readers");
        println!(
            "{:<22} {:>12} {:>12} {:>8}",
            "", "deliv./s", "us/event", "ratio"
        );
        let mut costs = Vec::new();
        for (name, shape) in self.shapes("") {
            let (delivered, cost) = self.fan_out(rate, &shape, readers)?;
            costs.push(cost);
            let base = costs[(costs.len() - 1) % 2];
            println!(
                "{name:<22} {delivered:>12.0} {cost:>12.3} {:>8.2}",
                cost / base
            );
        }
        self.wires_playback(self.arguments.replay.unwrap_or(300_000))
    }

    /// Version 1 and version 2, plain and compressed.
    fn shapes(&self, cursor: &str) -> [(&'static str, Shape); 4] {
        let id = self.frames.dictionary.id();
        let shape = |is_v2, query: String| Shape {
            query: format!("{query}{cursor}"),
            is_compressed: true,
            is_v2,
        };
        [
            ("version 1", shape(false, "compress=false".to_owned())),
            (
                "version 1, dictionary",
                shape(false, "compress=true".to_owned()),
            ),
            ("version 2", shape(true, String::new())),
            (
                "version 2, dictionary",
                shape(true, format!("zstdDictionary={id}")),
            ),
        ]
    }

    /// How many events are delivered in a second, and the processor time for each in microseconds.
    fn fan_out(
        &self,
        rate: u32,
        shape: &Shape,
        readers: usize,
    ) -> Result<(f64, f64), Box<dyn Error>> {
        let Fed {
            server,
            relay,
            _log,
        } = self.feed(1000, &[])?;
        thread::sleep(Duration::from_secs(1));
        let crowd = self.equal_crowd(&server, shape.clone(), readers)?;
        relay.set_rate(self.frame_rate(rate));
        thread::sleep(Duration::from_secs(1));
        let read = || crowd.shared().events.load(Ordering::Relaxed);
        let (cpu, events, start) = (cpu_seconds(server.id())?, read(), Instant::now());
        thread::sleep(self.arguments.time);
        let seconds = start.elapsed().as_secs_f64();
        let cpu = cpu_seconds(server.id())? - cpu;
        let events = (read() - events) as f64;
        if crowd.shared().ended.load(Ordering::Relaxed) > 0 {
            return Err("the server has ended connections".into());
        }
        Ok((events / seconds, cpu * 1e6 / events))
    }

    /// Subscribers read the log from its start, on each wire in turn: one, and several that begin
    /// together or one after the other.
    fn wires_playback(&self, events: u64) -> Result<(), Box<dyn Error>> {
        let frames = (events as f64 / self.frames.events_per_frame) as u64;
        let fed = self.feed(frames, &[])?;
        // This waits for the last events to come.
        let (_, shape) = &self.shapes("&cursor=0")[1];
        let _ = self.play(&fed, shape, 1, Duration::ZERO)?;
        println!("\nplayback, medians of {ROUNDS} rounds; the range of the ratios is over rounds");
        println!(
            "{:<34} {:>12} {:>10} {:>12} {:>7} {:>13}",
            "", "events/s", "us/event", "bytes/event", "ratio", "range"
        );
        for (readers, apart, name) in PLAYBACKS {
            let mut rounds: Vec<[Playback; 4]> = Vec::new();
            for _ in 0..ROUNDS {
                let mut round = [Playback::default(); 4];
                for (place, (_, shape)) in round.iter_mut().zip(self.shapes("&cursor=0")) {
                    *place = self.play(&fed, &shape, readers, apart)?;
                }
                rounds.push(round);
            }
            for (index, (wire, _)) in self.shapes("").iter().enumerate() {
                let of = |value: &dyn Fn(&[Playback; 4]) -> f64| {
                    let mut values: Vec<f64> = rounds.iter().map(value).collect();
                    values.sort_unstable_by(f64::total_cmp);
                    values
                };
                let ratios = of(&|round| round[index].cost / round[index % 2].cost);
                println!(
                    "{:<34} {:>12.0} {:>10.2} {:>12.0} {:>7.2} {:>6.2}-{:<6.2}",
                    format!("{name}: {wire}"),
                    of(&|round| round[index].speed)[ROUNDS / 2],
                    of(&|round| round[index].cost)[ROUNDS / 2],
                    rounds[0][index].size,
                    ratios[ROUNDS / 2],
                    ratios[0],
                    ratios[ROUNDS - 1],
                );
            }
        }
        Ok(())
    }

    fn play(
        &self,
        fed: &Fed,
        shape: &Shape,
        readers: usize,
        apart: Duration,
    ) -> Result<Playback, Box<dyn Error>> {
        let (cpu, start) = (cpu_seconds(fed.server.id())?, Instant::now());
        let mut crowds = Vec::new();
        if apart.is_zero() {
            crowds.push(self.equal_crowd(&fed.server, shape.clone(), readers)?);
        } else {
            for _ in 0..readers {
                crowds.push(self.equal_crowd(&fed.server, shape.clone(), 1)?);
                thread::sleep(apart);
            }
        }
        let end = wait_for_all(&crowds);
        let seconds = end.duration_since(start).as_secs_f64();
        let cpu = cpu_seconds(fed.server.id())? - cpu;
        let sum = |count: fn(&Crowd) -> u64| crowds.iter().map(count).sum::<u64>() as f64;
        let total = sum(|crowd| crowd.shared().events.load(Ordering::Relaxed));
        let bytes = sum(|crowd| crowd.shared().bytes.load(Ordering::Relaxed));
        if crowds
            .iter()
            .any(|crowd| crowd.shared().ended.load(Ordering::Relaxed) > 0)
        {
            return Err("the server has ended connections".into());
        }
        Ok(Playback {
            speed: total / seconds,
            cost: cpu * 1e6 / total,
            size: bytes / total,
        })
    }
}

/// The cost of a playback for the server.
#[derive(Clone, Copy, Default)]
struct Playback {
    /// Events a second, to all readers together.
    speed: f64,
    /// Processor time in microseconds for each event delivered.
    cost: f64,
    /// Bytes for each event.
    size: f64,
}

/// The number of readers, how far apart in time they begin, and a name for it.
const PLAYBACKS: [(usize, Duration, &str); 4] = [
    (1, Duration::ZERO, "1"),
    (10, Duration::ZERO, "10 together"),
    (10, Duration::from_millis(50), "10 apart"),
    (100, Duration::ZERO, "100 together"),
];
const ROUNDS: usize = 5;
