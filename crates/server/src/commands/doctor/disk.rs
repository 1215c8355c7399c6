use std::path::{Path, PathBuf};
use std::time::Duration;

use super::finding::{Finding, Level};
use crate::disk_sync;
use crate::log_folder;

/// Looks at the data folder, or where it will be made.
pub(super) fn check(folder: &Path) -> Vec<Finding> {
    let existing = existing(folder);
    let mut findings = vec![data(folder, &existing)];
    match disk_sync::times(&existing) {
        Ok(times) => findings.push(judge_syncs(times)),
        Err(error) => {
            let found = format!("{}: {error}", existing.display());
            let expected = "a folder that the server may write to";
            let change = "give the folder to the user that the server runs as, or use --data-dir";
            let finding = Finding::bad("data folder", Level::MustChange, found, expected, change);
            findings.push(finding);
        }
    }
    findings.extend(free_bytes(&existing).map(judge_space));
    findings
}

/// The folder, or the nearest above it that exists.
fn existing(folder: &Path) -> PathBuf {
    let above = folder.ancestors().find(|above| above.is_dir());
    let above = above.unwrap_or_else(|| Path::new("."));
    match above.as_os_str().is_empty() {
        true => PathBuf::from("."),
        false => above.to_owned(),
    }
}

fn data(folder: &Path, existing: &Path) -> Finding {
    let log = log_folder::of(folder);
    let text = if log_folder::is_log(&log) {
        format!("the log is in {}", log.display())
    } else if existing == folder {
        format!("there is no log in {} yet", folder.display())
    } else {
        format!("{} is made when the server starts", folder.display())
    };
    Finding::good("log", text)
}

fn judge_syncs(times: Vec<Duration>) -> Finding {
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    let most = times.last().copied().unwrap_or_default();
    let found = format!(
        "a sync takes {median:.1?}, at most {most:.1?} of {}",
        times.len()
    );
    if median <= USUAL_SYNC {
        return Finding::good("sync", found);
    }
    let expected = format!("{USUAL_SYNC:?} or less");
    let change = "a disk of its own, or a faster one; network file systems are not for logs";
    Finding::bad("sync", Level::ShouldChange, found, expected, change)
}

fn judge_space(bytes: u64) -> Finding {
    let found = format!("{:.1} GB are free", bytes as f64 / 1e9);
    let level = match bytes {
        ..LEAST_SPACE => Level::MustChange,
        LEAST_SPACE..ENOUGH_SPACE => Level::ShouldChange,
        _ => return Finding::good("space", found),
    };
    let expected = format!(
        "{} GB: a day of the network takes about 18",
        ENOUGH_SPACE / GB
    );
    let change = "a larger disk, or fewer events with --max-bytes or --event-ttl";
    Finding::bad("space", level, found, expected, change)
}

/// The bytes that the user may still write; `None` where the system does not say.
#[cfg(unix)]
fn free_bytes(folder: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(folder).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

#[cfg(not(unix))]
fn free_bytes(_folder: &Path) -> Option<u64> {
    None
}

/// The log is synced once in ten seconds at least; with more it would fall behind when it is busy.
const USUAL_SYNC: Duration = Duration::from_millis(50);
const GB: u64 = 1_000_000_000;
/// The storage engine takes as much before the first event is trimmed.
const LEAST_SPACE: u64 = GB;
const ENOUGH_SPACE: u64 = 25 * GB;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_judged_by_its_syncs_and_its_space() {
        let of = |millis| vec![Duration::from_millis(millis); 3];
        assert_eq!(judge_syncs(of(2)).level, Level::Good);
        assert_eq!(judge_syncs(of(200)).level, Level::ShouldChange);
        assert_eq!(judge_space(GB / 2).level, Level::MustChange);
        assert_eq!(judge_space(2 * GB).level, Level::ShouldChange);
        assert_eq!(judge_space(100 * GB).level, Level::Good);
    }

    #[test]
    fn a_folder_that_is_not_there_yet_is_judged_by_the_one_above() {
        let folder = tempfile::tempdir().unwrap();
        let later = folder.path().join("a/b");
        assert_eq!(existing(&later), folder.path());
        assert_eq!(check(&later)[0].level, Level::Good);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
