use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The use of a process so far.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Figures {
    seconds: f64,
    /// By the name of the threads.
    threads: BTreeMap<String, Threads>,
    /// Handed to the disk.
    disk_bytes: f64,
    /// The peak of what is resident.
    resident_bytes: f64,
}

/// Threads of one name.
#[derive(Debug, Default, Deserialize, Serialize)]
struct Threads {
    user_seconds: f64,
    system_seconds: f64,
    /// How often they waited for something.
    waits: f64,
}

impl Figures {
    /// Reads those of this process from `/proc`; what cannot be read counts as nothing.
    pub(crate) fn read(passed: Duration) -> Self {
        let mut threads = BTreeMap::<String, Threads>::new();
        let tasks = fs::read_dir("/proc/self/task").into_iter().flatten();
        for task in tasks.flatten() {
            let read = |name: &str| fs::read_to_string(task.path().join(name));
            let stat = read("stat").unwrap_or_default();
            let status = read("status").unwrap_or_default();
            // The name, in brackets, may hold anything.
            let Some((before, fields)) = stat.rsplit_once(')') else {
                continue;
            };
            let name = before.split_once('(').map_or("", |(_, name)| name);
            let name = name.trim_end_matches(|end: char| end.is_ascii_digit() || end == '-');
            let group = threads.entry(name.to_owned()).or_default();
            let ticks = rustix::param::clock_ticks_per_second() as f64;
            // User and system time are fields 14 and 15; the name is 2.
            let times: Vec<f64> = fields
                .split_whitespace()
                .skip(11)
                .take(2)
                .map(|field| field.parse().unwrap_or(0.0) / ticks)
                .collect();
            if let [user, system] = times[..] {
                group.user_seconds += user;
                group.system_seconds += system;
            }
            group.waits += number(&status, "\nvoluntary_ctxt_switches:");
        }
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Self {
            seconds: passed.as_secs_f64(),
            threads,
            disk_bytes: number(&read("/proc/self/io"), "\nwrite_bytes:"),
            resident_bytes: number(&read("/proc/self/status"), "VmHWM:") * 1024.0,
        }
    }

    fn sum(&self, of: impl Fn(&Threads) -> f64) -> f64 {
        self.threads.values().map(of).sum()
    }
}

fn number(text: &str, after: &str) -> f64 {
    let rest = text.split_once(after).map_or("", |(_, rest)| rest);
    let number = rest.split_whitespace().next();
    number.and_then(|it| it.parse().ok()).unwrap_or(0.0)
}

/// Prints the medians of several turns, each divided by the number of frames.
pub(crate) fn print(turns: &[Figures], frames: f64) {
    let median = |of: &dyn Fn(&Figures) -> f64| {
        let mut values: Vec<f64> = turns.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
    let each = |of: &dyn Fn(&Figures) -> f64| median(of) * 1e6 / frames;
    println!(
        "{:<20} {:>8} {:>8} {:>8} {:>9}",
        "us of processor", "user", "system", "both", "waits"
    );
    let row = |name: &str, of: &dyn Fn(&Figures, &dyn Fn(&Threads) -> f64) -> f64| {
        println!(
            "{name:<20} {:>8.2} {:>8.2} {:>8.2} {:>9.3}",
            each(&|turn| of(turn, &|it| it.user_seconds)),
            each(&|turn| of(turn, &|it| it.system_seconds)),
            each(&|turn| of(turn, &|it| it.user_seconds + it.system_seconds)),
            each(&|turn| of(turn, &|it| it.waits)) / 1e6,
        );
    };
    let mut names: Vec<&String> = turns.iter().flat_map(|turn| turn.threads.keys()).collect();
    names.sort();
    names.dedup();
    for name in names {
        row(name, &|turn, of| turn.threads.get(name).map_or(0.0, of));
    }
    row("the whole process", &|turn, of| turn.sum(of));
    println!(
        "{:.0} frames/s; {:.0} bytes written a frame; {:.1} MB resident at its peak",
        median(&|turn| frames / turn.seconds),
        median(&|turn| turn.disk_bytes) / frames,
        median(&|turn| turn.resident_bytes) / 1e6,
    );
}
