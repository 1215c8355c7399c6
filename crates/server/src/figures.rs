use std::fmt::Write;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use jetwash::Jetstream;

use crate::descriptions::LOOKED_UP;

/// Looks figures up when somebody asks: those of the log, of the process and of the program, in
/// the text format of Prometheus.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    jetstream: Jetstream,
    /// In seconds since 1970.
    started: f64,
}

impl Figures {
    /// The process is taken to begin now.
    pub(crate) fn new(jetstream: Jetstream) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            jetstream,
            started: since.unwrap_or_default().as_secs_f64(),
        }
    }

    pub(crate) fn render(&self) -> String {
        let mut text = String::new();
        for (name, sort, help) in LOOKED_UP {
            let Some(value) = self.value(name) else {
                continue;
            };
            let labels = match *name {
                "jetwash_build_info" => concat!("{version=\"", env!("CARGO_PKG_VERSION"), "\"}"),
                _ => "",
            };
            let sort = sort.as_str();
            // Writing to a string does not fail.
            let _ = write!(
                text,
                "# HELP {name} {help}\n# TYPE {name} {sort}\n{name}{labels} {value}\n\n"
            );
        }
        text
    }

    /// `None` where it cannot be known: there is no `/proc`, or no event.
    fn value(&self, name: &str) -> Option<f64> {
        let bounds = self.jetstream.bounds();
        Some(match name {
            "jetwash_build_info" => 1.0,
            "jetwash_log_bytes" => bounds.bytes as f64,
            "jetwash_log_events" => bounds.events() as f64,
            "jetwash_log_oldest_timestamp_seconds" => bounds.oldest_time_us?.get() as f64 / 1e6,
            "process_start_time_seconds" => self.started,
            "process_open_fds" => fs::read_dir("/proc/self/fd").ok()?.count() as f64,
            "process_max_fds" => max_files(&fs::read_to_string("/proc/self/limits").ok()?)?,
            "process_resident_memory_bytes" => {
                resident_bytes(&fs::read_to_string("/proc/self/status").ok()?)?
            }
            "process_cpu_seconds_total" => {
                cpu_seconds(&fs::read_to_string("/proc/self/stat").ok()?)?
            }
            _ => return None,
        })
    }
}

/// Source of these: proc(5).
fn max_files(limits: &str) -> Option<f64> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn resident_bytes(status: &str) -> Option<f64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024.0)
}

fn cpu_seconds(stat: &str) -> Option<f64> {
    // The program's name, in parentheses, may have blanks and parentheses in it.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

/// Ticks a second in what Linux reports to programs, independent of its own clock.
const TICKS_PER_SECOND: f64 = 100.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found_in_what_linux_says() {
        let stat = "42 (a (b) c) S 1 42 42 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 4 0 77 1 2";
        assert_eq!(cpu_seconds(stat), Some(2.0));
        assert_eq!(
            resident_bytes("Name:\tx\nVmRSS:\t    1024 kB\n"),
            Some(1_048_576.0)
        );
        let limits = "Limit  Soft Limit  Hard Limit  Units\nMax open files  1024  4096  files\n";
        assert_eq!(max_files(limits), Some(1024.0));
        assert_eq!(cpu_seconds("nothing of the sort"), None);
    }
}
