//! Measures what each way to compress costs the server, live and in playback.

use std::error::Error;
use std::slice;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use jetwash_benches::{Server, cpu_seconds};

use crate::crowd::{Crowd, Shape};
use crate::{Fed, Load};

/// The name of a mode, and what a subscriber asks for to get it.
const MODES: [(&str, &str); 7] = [
    ("none", "compress=false"),
    ("dictionary", "compress=true"),
    ("batched", "compress=batch"),
    ("streaming", "compress=stream"),
    ("binary", "format=binary&compress=false"),
    ("binary, dictionary", "format=binary&compress=true"),
    ("binary, batched", "format=binary&compress=batch"),
];

/// More streams than a server is likely to need. One address gets at most half of them.
const STREAMS: [&str; 2] = ["--max-streams", "1000"];

impl Load {
    /// The server's processor time for a growing number of subscribers who all want everything, in
    /// each mode, and the speed at which one of them reads the log.
    pub(crate) fn modes(&self) -> Result<(), Box<dyn Error>> {
        for &rate in &self.arguments.rate {
            println!("\nlive, {rate} events/s: per cent of one core by the number of readers");
            println!(
                "{:<20} {:>8} {:>8} {:>8} {:>14} {:>12} {:>12}",
                "", "1", "10", "100", "us/event at 100", "bytes/event", "100 / none"
            );
            let mut none = None;
            for (name, query) in MODES {
                let row = READERS.map(|readers| self.live(rate, query, readers));
                let [one, ten, hundred] = row;
                let (one, ten, hundred) = (one?, ten?, hundred?);
                let base = *none.get_or_insert(hundred.cores);
                println!(
                    "{name:<20} {:>8.1} {:>8.1} {:>8.1} {:>14.2} {:>12.0} {:>12.2}",
                    one.cores * 100.0,
                    ten.cores * 100.0,
                    hundred.cores * 100.0,
                    hundred.cores * 1e6 / (f64::from(rate) * 100.0),
                    hundred.bytes / (f64::from(rate) * 100.0),
                    hundred.cores / base,
                );
            }
        }
        self.playback(self.arguments.replay.unwrap_or(300_000))
    }

    /// The cores that the server needs, and the bytes that it sends in a second.
    fn live(&self, rate: u32, query: &str, readers: usize) -> Result<Cost, Box<dyn Error>> {
        let Fed {
            server,
            relay,
            _log,
        } = self.feed(1000, &STREAMS)?;
        thread::sleep(Duration::from_secs(1));
        let crowd = self.mode_crowd(&server, query, readers)?;
        relay.set_rate(self.frame_rate(rate));
        thread::sleep(Duration::from_secs(1));
        let bytes = crowd.shared().bytes.load(Ordering::Relaxed);
        let (cpu, start) = (cpu_seconds(server.id())?, Instant::now());
        thread::sleep(self.arguments.time);
        let seconds = start.elapsed().as_secs_f64();
        let cpu = cpu_seconds(server.id())? - cpu;
        let bytes = crowd.shared().bytes.load(Ordering::Relaxed) - bytes;
        if crowd.shared().ended.load(Ordering::Relaxed) > 0 {
            return Err("the server has ended connections".into());
        }
        Ok(Cost {
            cores: cpu / seconds,
            bytes: bytes as f64 / seconds,
        })
    }

    /// One subscriber reads the log from its start, in each mode in turn.
    fn playback(&self, events: u64) -> Result<(), Box<dyn Error>> {
        let frames = (events as f64 / self.frames.events_per_frame) as u64;
        let fed = self.feed(frames, &STREAMS)?;
        let total = {
            let crowd = self.mode_crowd(&fed.server, "compress=true&cursor=0", 1)?;
            wait_for_all(slice::from_ref(&crowd));
            crowd.shared().events.load(Ordering::Relaxed) as f64
        };
        println!("\nplayback of {total} events to one reader");
        println!(
            "{:<20} {:>12} {:>12} {:>16} {:>12}",
            "", "events/s", "MB/s", "server us/event", "bytes/event"
        );
        for round in 0..ROUNDS {
            for (name, query) in MODES {
                let cpu = cpu_seconds(fed.server.id())?;
                let start = Instant::now();
                let crowd = self.mode_crowd(&fed.server, &format!("{query}&cursor=0"), 1)?;
                let end = wait_for_all(slice::from_ref(&crowd));
                let seconds = end.duration_since(start).as_secs_f64();
                let cpu = cpu_seconds(fed.server.id())? - cpu;
                let bytes = crowd.shared().bytes.load(Ordering::Relaxed) as f64;
                // The first round fills caches.
                if round > 0 {
                    println!(
                        "{name:<20} {:>12.0} {:>12.0} {:>16.2} {:>12.0}",
                        total / seconds,
                        bytes / seconds / 1e6,
                        cpu * 1e6 / total,
                        bytes / total,
                    );
                }
            }
        }
        Ok(())
    }

    fn mode_crowd(
        &self,
        server: &Server,
        query: &str,
        readers: usize,
    ) -> Result<Crowd, Box<dyn Error>> {
        let shape = Shape {
            query: query.to_owned(),
            is_compressed: true,
            is_v2: false,
        };
        self.equal_crowd(server, shape, readers)
    }

    /// Subscribers that all want the same.
    pub(crate) fn equal_crowd(
        &self,
        server: &Server,
        shape: Shape,
        readers: usize,
    ) -> Result<Crowd, Box<dyn Error>> {
        // Nothing is decoded here, so that the reader is not what is measured.
        let never = u64::MAX;
        let dictionary = &self.frames.dictionary;
        Crowd::connect(
            server.address(),
            &vec![shape; readers],
            dictionary,
            never,
            false,
        )
    }
}

struct Cost {
    cores: f64,
    bytes: f64,
}

/// Waits until nothing more comes, and says when the last came.
pub(crate) fn wait_for_all(crowds: &[Crowd]) -> Instant {
    let (mut bytes, mut last) = (0, Instant::now());
    while bytes == 0 || last.elapsed() < Duration::from_secs(2) {
        thread::sleep(Duration::from_micros(500));
        let received = |crowd: &Crowd| crowd.shared().bytes.load(Ordering::Relaxed);
        let now = crowds.iter().map(received).sum();
        if now > bytes {
            (bytes, last) = (now, Instant::now());
        }
    }
    last
}

const READERS: [usize; 3] = [1, 10, 100];
const ROUNDS: usize = 3;
