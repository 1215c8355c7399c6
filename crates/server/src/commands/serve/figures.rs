use std::fmt::Write;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use jetwash::Jetstream;
use jetwash::identity::{Identities, IdentitySnapshot, ResolveErrorKind};

use crate::commands::serve::descriptions::LOOKED_UP;

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
        let identities = self.jetstream.identities().map(Identities::snapshot);
        for (name, sort, help) in LOOKED_UP {
            let mut samples: Vec<_> = self.value(name).into_iter().collect();
            if let Some(snapshot) = &identities {
                samples.extend(identity_samples(name, snapshot));
            }
            if samples.is_empty() {
                continue;
            }
            let sort = sort.as_str();
            // Writing to a string does not fail.
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {sort}\n");
            for (label, value) in samples {
                let _ = match label {
                    Some((label, of)) => writeln!(text, "{name}{{{label}=\"{of}\"}} {value}"),
                    None => writeln!(text, "{name} {value}"),
                };
            }
            text.push('\n');
        }
        text
    }

    /// `None` where it cannot be known: there is no `/proc`, or no event.
    fn value(&self, name: &str) -> Option<Sample> {
        let bounds = self.jetstream.bounds();
        let value = match name {
            "jetwash_build_info" => {
                return Some((Some(("version", env!("CARGO_PKG_VERSION"))), 1.0));
            }
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
        };
        Some((None, value))
    }
}

/// The label, whose value is from a fixed list, and the value.
type Sample = (Option<(&'static str, &'static str)>, f64);

/// The samples of a metric about identities. Where there are labels, those of which nothing was
/// counted are left out.
fn identity_samples(name: &str, snapshot: &IdentitySnapshot) -> Vec<Sample> {
    let labelled = |label: &'static str, counts: &[(&'static str, u64)]| {
        let counted = counts.iter().filter(|(_, count)| *count > 0);
        let sample = |(of, count): &(_, u64)| (Some((label, *of)), *count as f64);
        counted.map(sample).collect()
    };
    let count = |count: u64| vec![(None, count as f64)];
    match name {
        "jetwash_identity_questions_total" => labelled(
            "answer",
            &[
                ("memory", snapshot.hits),
                ("stale", snapshot.stale),
                ("negative", snapshot.negative),
                ("joined", snapshot.joined),
                ("look_up", snapshot.look_ups),
            ],
        ),
        "jetwash_identity_suspicions_total" => labelled(
            "outcome",
            &[
                ("looked_up", snapshot.suspicions),
                ("refused", snapshot.suspicions_refused),
            ],
        ),
        "jetwash_identity_errors_total" => {
            let kinds = ResolveErrorKind::ALL.map(|kind| (kind.as_str(), snapshot.errors(kind)));
            labelled("kind", &kinds)
        }
        "jetwash_identity_bytes" => count(snapshot.bytes),
        "jetwash_identity_disk_errors_total" => count(snapshot.disk_errors),
        "jetwash_identity_disk_hits_total" => count(snapshot.disk_hits),
        "jetwash_identity_entries" => count(snapshot.entries),
        "jetwash_identity_export_failures_total" => count(snapshot.export_failures),
        "jetwash_identity_exported_total" => count(snapshot.exported),
        "jetwash_identity_invalidations_total" => count(snapshot.invalidations),
        "jetwash_identity_not_kept_total" => count(snapshot.not_kept),
        "jetwash_identity_refreshes_total" => count(snapshot.refreshes),
        "jetwash_identity_requests_total" => count(snapshot.requests),
        "jetwash_identity_sourced_total" => count(snapshot.sourced),
        "jetwash_identity_under_way" => count(snapshot.under_way),
        _ => Vec::new(),
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
