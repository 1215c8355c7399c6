use std::io;

/// Raises the number of files that this process may open to the most that the system allows (the
/// soft limit `RLIMIT_NOFILE` to the hard one), and returns that number.
///
/// Each connection is an open file. Many systems start a process with a soft limit of 1,024 and a
/// hard one of hundreds of thousands. The limit is a property of the whole process, so no other
/// function of this crate changes it: a program calls this once, before it serves.
/// [`HttpLimits::default`](crate::HttpLimits::default) depends on the limit at that moment.
///
/// On systems without such a limit, such as Windows, it does nothing and returns [`u64::MAX`].
///
/// # Errors
///
/// When the system refuses. The limit is then unchanged.
///
/// # Examples
///
/// ```
/// let limit = jetwash_serve::raise_file_limit()?;
/// assert!(limit >= 64);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn raise_file_limit() -> io::Result<u64> {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        if current == maximum || current.is_none() {
            return Ok(file_limit());
        }
        let raise = |current| setrlimit(Resource::Nofile, Rlimit { current, maximum });
        if let Err(error) = raise(maximum) {
            // macOS names a hard limit that it then does not allow.
            let least = current.unwrap_or_default();
            let fewer = maximum.unwrap_or(u64::MAX).min(MACOS_LIMIT);
            if fewer <= least || raise(Some(fewer)).is_err() {
                return Err(error.into());
            }
        }
    }
    Ok(file_limit())
}

/// Returns how many files this process may open.
pub(crate) fn file_limit() -> u64 {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, getrlimit};

        getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
    }
    #[cfg(not(unix))]
    u64::MAX
}

/// Returns how many connections fit under a limit of open files. The rest is for the files of the
/// log, the relays and the metrics.
pub(crate) fn connections_within(files: u64) -> usize {
    let least = LEAST_RESERVE.min(files / 2);
    let reserve = (files / 4).clamp(least, MOST_RESERVE.max(least));
    let connections = files.saturating_sub(reserve).clamp(1, MOST_CONNECTIONS);
    usize::try_from(connections).unwrap_or(usize::MAX)
}

/// `OPEN_MAX` of macOS.
const MACOS_LIMIT: u64 = 10_240;
/// The log keeps up to 128 files open; the rest is for relays, metrics and refusals.
const LEAST_RESERVE: u64 = 192;
const MOST_RESERVE: u64 = 1024;
/// More would be a question of memory, not of files.
const MOST_CONNECTIONS: u64 = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserve_is_kept_under_every_limit() {
        let pairs = [
            (0, 1),
            (64, 32),
            (256, 128),
            (1024, 768),
            (4096, 3072),
            (20_000, 18_976),
            (u64::MAX, 65_536),
        ];
        for (files, connections) in pairs {
            assert_eq!(connections_within(files), connections, "of {files}");
        }
    }
}
