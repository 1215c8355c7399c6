//! Reports gaps: to readers, to a counter, and now and then through `tracing`.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use jetwash_store::{Gap, GapCause};
use metrics::counter;
use tracing::warn;

/// Counts a gap that a reader is told of, and warns of it unless one of that cause was warned of a
/// moment ago.
pub(crate) fn tell(gap: &Gap) {
    counter!("jetwash_gaps_total", "cause" => gap.cause.name()).increment(1);
    let Some(quiet) = QUIET.get(index(gap.cause)) else {
        return;
    };
    if let Some(untold) = quiet.pass(since_start()) {
        warn!(
            cause = gap.cause.name(),
            untold, "a reader comes to a gap: {gap}"
        );
    }
}

/// Lets one through per interval, and counts the others.
struct Quiet {
    /// When the next may pass, in milliseconds.
    next: AtomicU64,
    untold: AtomicU64,
}

impl Quiet {
    const fn new() -> Self {
        Self {
            next: AtomicU64::new(0),
            untold: AtomicU64::new(0),
        }
    }

    /// `None` if it is too early, else how many were held back before.
    fn pass(&self, now: Duration) -> Option<u64> {
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let next = self.next.load(Ordering::Relaxed);
        let after = now.saturating_add(EVERY_MS);
        let is_mine = now >= next
            && self
                .next
                .compare_exchange(next, after, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if is_mine {
            return Some(self.untold.swap(0, Ordering::Relaxed));
        }
        self.untold.fetch_add(1, Ordering::Relaxed);
        None
    }
}

fn index(cause: GapCause) -> usize {
    let found = GapCause::ALL.iter().position(|listed| *listed == cause);
    debug_assert!(found.is_some(), "`ALL` lists every cause");
    found.unwrap_or_default()
}

fn since_start() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

/// For each cause.
static QUIET: [Quiet; GapCause::ALL.len()] = [const { Quiet::new() }; GapCause::ALL.len()];

const EVERY_MS: u64 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_warning_passes_in_ten_seconds_and_says_how_many_did_not() {
        let quiet = Quiet::new();
        let at = Duration::from_secs;
        assert_eq!(quiet.pass(at(0)), Some(0));
        assert_eq!(quiet.pass(at(1)), None);
        assert_eq!(quiet.pass(at(9)), None);
        assert_eq!(quiet.pass(at(10)), Some(2));
        assert_eq!(quiet.pass(at(30)), Some(0));
    }
}
