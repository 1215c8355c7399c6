use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use jetwash_benches::{cpu_seconds, resident_bytes};

use crate::chart::{Curve, draw};
use crate::process::bytes_in;
use crate::shared::Shared;

/// The memory, files and time that the server takes, and when it was ended.
pub(crate) struct Samples {
    start: Instant,
    rows: Vec<Sample>,
    /// The times in seconds at which the server was killed or stopped.
    marks: Vec<(f64, &'static str)>,
    /// The process, when it was looked at last, and its processor time then.
    last: (u32, Instant, f64),
}

#[derive(Clone, Copy)]
pub(crate) struct Sample {
    /// Since the start.
    seconds: f64,
    pub(crate) resident: u64,
    pub(crate) descriptors: u64,
    threads: u64,
    disk: u64,
    /// Of one processor, since the sample before.
    cores: f64,
    subscribers: usize,
    /// Events that subscribers have got so far.
    events: u64,
    /// The resident memory of this program, which is the relay, the subscribers and the oracle.
    own: u64,
}

impl Samples {
    pub(crate) fn new() -> Self {
        let start = Instant::now();
        Self {
            start,
            rows: Vec::new(),
            marks: Vec::new(),
            last: (0, start, 0.0),
        }
    }

    pub(crate) fn mark(&mut self, what: &'static str) {
        self.marks.push((self.start.elapsed().as_secs_f64(), what));
    }

    /// Notes what a process takes.
    pub(crate) fn take(
        &mut self,
        id: u32,
        folder: &Path,
        shared: &Shared,
    ) -> Result<(), Box<dyn Error>> {
        let (cpu, now) = (cpu_seconds(id)?, Instant::now());
        let (last_id, since, before) = self.last;
        // Of a new process all of its time, over the time that there was a process.
        let spent = if last_id == id { cpu - before } else { cpu };
        let cores = spent / (now - since).as_secs_f64().max(0.001);
        self.last = (id, now, cpu);
        self.rows.push(Sample {
            seconds: self.start.elapsed().as_secs_f64(),
            resident: resident_bytes(id)?,
            descriptors: fs::read_dir(format!("/proc/{id}/fd"))?.count() as u64,
            threads: fs::read_dir(format!("/proc/{id}/task"))?.count() as u64,
            disk: bytes_in(folder),
            cores,
            subscribers: shared.open.load(Ordering::Relaxed),
            events: shared.tally.events.load(Ordering::Relaxed),
            own: resident_bytes(std::process::id())?,
        });
        Ok(())
    }

    /// The sample at a part of the whole time: the median by memory of five around it, as some are
    /// of processes that have just begun.
    pub(crate) fn at(&self, part: f64) -> Option<Sample> {
        let last = self.rows.len().checked_sub(1)?;
        let middle = (last as f64 * part).round() as usize;
        let mut around = self.rows[middle.saturating_sub(2)..(middle + 3).min(last + 1)].to_vec();
        around.sort_by_key(|sample| sample.resident);
        around.get(around.len() / 2).copied()
    }

    /// The most that this program took, in bytes.
    pub(crate) fn most_own(&self) -> u64 {
        self.rows.iter().map(|sample| sample.own).max().unwrap_or(0)
    }

    /// Writes `samples.csv`, `restarts.csv` and `soak.svg`.
    pub(crate) fn write(&self, folder: &Path, title: &str) -> Result<(), Box<dyn Error>> {
        let mut table = String::from(
            "seconds,resident_bytes,descriptors,threads,disk_bytes,cores,subscribers,events,own_resident_bytes\n",
        );
        for row in &self.rows {
            let Sample {
                seconds,
                resident,
                descriptors,
                threads,
                disk,
                cores,
                subscribers,
                events,
                own,
            } = row;
            writeln!(
                table,
                "{seconds:.1},{resident},{descriptors},{threads},{disk},{cores:.3},{subscribers},{events},{own}"
            )?;
        }
        fs::write(folder.join("samples.csv"), table)?;
        let mut table = String::from("seconds,what\n");
        for (seconds, what) in &self.marks {
            writeln!(table, "{seconds:.1},{what}")?;
        }
        fs::write(folder.join("restarts.csv"), table)?;
        let curve = |name, value: fn(&Sample) -> f64| Curve {
            name,
            points: self
                .rows
                .iter()
                .map(|row| (row.seconds, value(row)))
                .collect(),
        };
        let curves = [
            curve("Resident memory of the server, MB", |row| {
                row.resident as f64 / 1e6
            }),
            curve("Open descriptors of the server", |row| {
                row.descriptors as f64
            }),
            curve("Threads of the server", |row| row.threads as f64),
            curve("Log on disk, MB", |row| row.disk as f64 / 1e6),
            curve("Processors that the server kept busy", |row| row.cores),
            curve("Connected subscribers", |row| row.subscribers as f64),
        ];
        fs::write(folder.join("soak.svg"), draw(title, &curves, &self.marks))?;
        Ok(())
    }
}

/// How often samples are taken in a run of this length: each 10 s, and oftener in a short one.
pub(crate) fn sample_every(run: Duration) -> Duration {
    (run / 60).clamp(Duration::from_secs(1), Duration::from_secs(10))
}
