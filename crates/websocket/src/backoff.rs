use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// How long to wait before the next attempt to connect: doubling, with jitter, so that many clients
/// of a host that restarts do not all come back at once.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use jetwash_websocket::Backoff;
///
/// let mut backoff = Backoff::new(Duration::from_millis(500));
/// assert!(backoff.after_failure() <= Duration::from_millis(500));
/// assert!(backoff.after_failure() <= Duration::from_secs(1));
/// assert_eq!(backoff.attempts(), 2);
///
/// // The connection brought 1000 events before it ended.
/// assert!(backoff.after_progress(1000) <= Duration::from_millis(250));
/// assert_eq!(backoff.attempts(), 0);
/// ```
#[derive(Debug)]
pub struct Backoff {
    first: Duration,
    attempts: u32,
    flaps: u32,
    random: u64,
}

impl Backoff {
    /// Waits for up to `first` after the first failure.
    pub fn new(first: Duration) -> Self {
        Self::with_seed(first, RandomState::new().hash_one(0))
    }

    const fn with_seed(first: Duration, seed: u64) -> Self {
        Self {
            first,
            attempts: 0,
            flaps: 0,
            random: seed | 1,
        }
    }

    /// After a connection that brought `events`: between half and all of 250 ms, so that a host that
    /// ends each connection early is followed all the same. Doubling up to 2 s if each brings only a
    /// few, lest such a host is hammered.
    pub fn after_progress(&mut self, events: u64) -> Duration {
        self.attempts = 0;
        let flaps = self.flaps.saturating_add(1);
        self.flaps = if events < FEW { flaps } else { 0 };
        let doublings = self.flaps.saturating_sub(1).min(3);
        self.spread(SHORT * (1 << doublings))
    }

    /// After an attempt that brought nothing: between half and all of the first wait, of twice that,
    /// and so on up to 30 s.
    pub fn after_failure(&mut self) -> Duration {
        let full = LONGEST.min(self.first.saturating_mul(1 << self.attempts.min(10)));
        self.attempts += 1;
        self.spread(full)
    }

    /// Between half and all of 250 ms: for another host, or for another request to the same.
    pub fn short(&mut self) -> Duration {
        self.spread(SHORT)
    }

    /// Returns how many attempts in a row have brought nothing.
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    fn spread(&mut self, full: Duration) -> Duration {
        // Xorshift: the jitter need not be good randomness, only different between processes.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let share = (self.random % 1024) as u32;
        full / 2 + full / 2 * share / 1024
    }
}

const SHORT: Duration = Duration::from_millis(250);
const FEW: u64 = 10;
const LONGEST: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a wait is between half and all of some milliseconds.
    #[track_caller]
    fn check(wait: Duration, expected: u128) {
        let wait = wait.as_millis();
        let is_within = (expected / 2..=expected).contains(&wait);
        assert!(is_within, "{wait} of {expected}");
    }

    #[test]
    fn waits_double_up_to_thirty_seconds_and_start_again_after_progress() {
        for first in [250, 500] {
            let mut backoff = Backoff::with_seed(Duration::from_millis(first), 7);
            let mut expected = u128::from(first);
            for attempt in 1..10 {
                check(backoff.after_failure(), expected.min(30_000));
                assert_eq!(backoff.attempts(), attempt);
                expected *= 2;
            }
            check(backoff.after_progress(10), 250);
            check(backoff.after_failure(), first.into());
        }
    }

    #[test]
    fn connections_that_bring_events_are_made_again_at_once_but_never_in_a_flood() {
        let mut backoff = Backoff::with_seed(Duration::from_millis(500), 7);
        for _ in 0..100 {
            check(backoff.after_progress(10), 250);
        }
        for expected in [250, 500, 1_000, 2_000, 2_000] {
            check(backoff.after_progress(9), expected);
        }
        check(backoff.short(), 250);
    }
}
