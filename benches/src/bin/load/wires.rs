//! Measures what version 2 of the wire costs the server beside version 1.

use std::error::Error;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use crate::crowd::Shape;
use crate::modes::wait_for_all;
use crate::server::cpu_seconds;
use crate::{Fed, Load};

impl Load {
    /// The server's processor time for each event delivered to many subscribers who want
    /// everything, and the speed at which one of them reads the log, on both wires in turn. The
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

    /// One subscriber reads the log from its start, on each wire in turn.
    fn wires_playback(&self, events: u64) -> Result<(), Box<dyn Error>> {
        let frames = (events as f64 / self.frames.events_per_frame) as u64;
        let fed = self.feed(frames, &[])?;
        println!("\nplayback to one reader");
        println!(
            "{:<22} {:>12} {:>12} {:>12} {:>8}",
            "", "events/s", "us/event", "bytes/event", "ratio"
        );
        for round in 0..ROUNDS {
            let mut costs = Vec::new();
            for (name, shape) in self.shapes("&cursor=0") {
                let (cpu, start) = (cpu_seconds(fed.server.id())?, Instant::now());
                let crowd = self.equal_crowd(&fed.server, shape, 1)?;
                let end = wait_for_all(&crowd);
                let seconds = end.duration_since(start).as_secs_f64();
                let cpu = cpu_seconds(fed.server.id())? - cpu;
                let total = crowd.shared().events.load(Ordering::Relaxed) as f64;
                let bytes = crowd.shared().bytes.load(Ordering::Relaxed) as f64;
                let cost = cpu * 1e6 / total;
                costs.push(cost);
                // The first round fills caches, and waits for the last events to come.
                if round > 0 {
                    let base = costs[(costs.len() - 1) % 2];
                    println!(
                        "{name:<22} {:>12.0} {cost:>12.2} {:>12.0} {:>8.2}",
                        total / seconds,
                        bytes / total,
                        cost / base,
                    );
                }
            }
        }
        Ok(())
    }
}

const ROUNDS: usize = 4;
