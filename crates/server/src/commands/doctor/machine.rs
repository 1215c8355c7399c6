use std::env::consts::{ARCH, OS};
use std::fs;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use humantime::format_rfc3339_seconds;
use jetwash_serve::raise_file_limit;

use super::finding::{Finding, Level};

pub(super) fn check() -> Vec<Finding> {
    let mut findings = vec![versions(), files(), clock()];
    findings.extend(memory());
    findings
}

fn versions() -> Finding {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let text = format!(
        "jetwash-server {} on {OS} {} ({ARCH}), {cores} processors",
        env!("CARGO_PKG_VERSION"),
        kernel.trim(),
    );
    Finding::good("version", text)
}

/// Each subscriber takes a file, and the server raises the limit as far as it may.
fn files() -> Finding {
    match raise_file_limit() {
        Ok(limit) => judge_files(limit),
        Err(error) => Finding::bad(
            "open files",
            Level::ShouldChange,
            format!("the limit cannot be raised: {error}"),
            "that the server may raise it to the hard limit",
            FILES_CHANGE,
        ),
    }
}

fn judge_files(limit: u64) -> Finding {
    let shown = match limit {
        u64::MAX => "any number".to_owned(),
        limit => format!("up to {limit}"),
    };
    let level = match limit {
        ..LEAST_FILES => Level::MustChange,
        LEAST_FILES..ENOUGH_FILES => Level::ShouldChange,
        _ => return Finding::good("open files", shown),
    };
    let expected = format!("{ENOUGH_FILES} or more: each subscriber takes one, the log up to 128");
    Finding::bad("open files", level, shown, expected, FILES_CHANGE)
}

/// Compares the wall clock with the monotonic one for a moment, and with the time of this release.
fn clock() -> Finding {
    let (wall, steady) = (SystemTime::now(), Instant::now());
    thread::sleep(WATCHED);
    let passed = steady.elapsed();
    let by_wall = SystemTime::now().duration_since(wall).unwrap_or_default();
    judge_clock(SystemTime::now(), passed, by_wall)
}

fn judge_clock(now: SystemTime, passed: Duration, by_wall: Duration) -> Finding {
    let shown = format_rfc3339_seconds(now);
    let since = now.duration_since(SystemTime::UNIX_EPOCH);
    if since.unwrap_or_default() < RELEASED {
        let expected = "a time after this release was made";
        return Finding::bad(
            "clock",
            Level::MustChange,
            shown.to_string(),
            expected,
            CLOCK_CHANGE,
        );
    }
    let apart = passed.abs_diff(by_wall);
    if apart > MOST_APART {
        let found = format!("{shown}; it moved {by_wall:.0?} while {passed:.0?} passed");
        let expected = "a clock that is not set while it runs";
        return Finding::bad("clock", Level::ShouldChange, found, expected, CLOCK_CHANGE);
    }
    Finding::good("clock", shown.to_string())
}

/// Of the machine, and of the group that the process is in; `None` where the system does not say.
fn memory() -> Option<Finding> {
    let machine = fs::read_to_string("/proc/meminfo").ok()?;
    let available = available(&machine)?;
    let limit = fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let limit = limit.and_then(|text| text.trim().parse::<u64>().ok());
    Some(judge_memory(available, limit))
}

fn judge_memory(available: u64, limit: Option<u64>) -> Finding {
    let shown = match limit {
        Some(limit) => format!(
            "{} MiB available, limited to {} MiB",
            available >> 20,
            limit >> 20
        ),
        None => format!("{} MiB available", available >> 20),
    };
    if available.min(limit.unwrap_or(u64::MAX)) >= ENOUGH_MEMORY {
        return Finding::good("memory", shown);
    }
    let expected = format!(
        "{} MiB: with the default options it can take so much",
        ENOUGH_MEMORY >> 20
    );
    let change =
        "more memory, or smaller --memory-budget, --subscriber-memory and --identity-memory";
    Finding::bad("memory", Level::ShouldChange, shown, expected, change)
}

fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}

const FILES_CHANGE: &str =
    "LimitNOFILE=65536 in the unit of systemd, --ulimit nofile=65536 for a container";
const CLOCK_CHANGE: &str = "let chrony, ntpd or systemd-timesyncd keep the time";
/// The log alone takes up to 128.
const LEAST_FILES: u64 = 512;
const ENOUGH_FILES: u64 = 4096;
const WATCHED: Duration = Duration::from_millis(200);
const MOST_APART: Duration = Duration::from_millis(50);
/// 2026-01-01.
const RELEASED: Duration = Duration::from_secs(1_767_225_600);
/// The subscribers' 64 MiB, the verifier's 16 MiB, the log, the libraries, and some to spare.
const ENOUGH_MEMORY: u64 = 192 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_files_are_judged_by_what_a_server_takes() {
        assert_eq!(judge_files(256).level, Level::MustChange);
        assert_eq!(judge_files(1024).level, Level::ShouldChange);
        assert_eq!(judge_files(65_536).level, Level::Good);
        assert_eq!(judge_files(u64::MAX).found, "any number");
    }

    #[test]
    fn a_clock_that_is_set_or_was_never_set_is_found() {
        let (now, passed) = (SystemTime::UNIX_EPOCH + 2 * RELEASED, WATCHED);
        assert_eq!(judge_clock(now, passed, passed).level, Level::Good);
        let set = judge_clock(now, passed, passed + Duration::from_secs(2));
        assert_eq!(set.level, Level::ShouldChange);
        let unset = judge_clock(SystemTime::UNIX_EPOCH, passed, passed);
        assert_eq!(unset.level, Level::MustChange);
    }

    #[test]
    fn memory_is_what_the_machine_and_the_group_allow() {
        let text = "MemTotal:  2 kB\nMemAvailable:  1048576 kB\n";
        assert_eq!(available(text), Some(1 << 30));
        assert_eq!(judge_memory(1 << 30, None).level, Level::Good);
        assert_eq!(
            judge_memory(1 << 30, Some(64 << 20)).level,
            Level::ShouldChange
        );
    }
}
