use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use jetwash_store::Seq;

/// How often, and how long apart, an event is tried that could not be handled.
///
/// Waits double, with jitter: each is between half and all of its full length, so that what failed
/// together does not come back together.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use jetwash::Retry;
///
/// // At once, then after up to 1 s, 2 s and 4 s.
/// let retry = Retry::new().attempts(4).first_wait(Duration::from_secs(1));
/// # let _ = retry;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Retry {
    pub(crate) attempts: u32,
    pub(crate) first: Duration,
    pub(crate) longest: Duration,
}

impl Retry {
    /// Five attempts in all, the first two up to 200 ms apart, none more than 30 s.
    pub const fn new() -> Self {
        Self {
            attempts: 5,
            first: Duration::from_millis(200),
            longest: Duration::from_secs(30),
        }
    }

    /// No second attempt.
    pub const fn never() -> Self {
        Self::new().attempts(1)
    }

    /// How often an event is tried in all, before it becomes a dead letter; at least once.
    pub const fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// The longest wait before the second attempt.
    pub const fn first_wait(mut self, wait: Duration) -> Self {
        self.first = wait;
        self
    }

    /// The longest wait before any attempt.
    pub const fn longest_wait(mut self, wait: Duration) -> Self {
        self.longest = wait;
        self
    }

    /// Returns the wait after this many failures; `None` after the last attempt.
    pub(crate) fn wait(&self, failures: u32, position: Seq) -> Option<Duration> {
        if failures >= self.attempts {
            return None;
        }
        let doublings = failures.saturating_sub(1).min(31);
        let full = self.first.saturating_mul(1 << doublings).min(self.longest);
        // The keys of a hasher are random: that will do for jitter.
        let share = RandomState::new().hash_one((failures, position)) % 1024;
        Some(full / 2 + full / 2 * share as u32 / 1024)
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_end_with_the_attempts() {
        let retry = Retry::new()
            .attempts(6)
            .first_wait(Duration::from_millis(100))
            .longest_wait(Duration::from_millis(500));
        for (failures, full) in [(1, 100), (2, 200), (3, 400), (4, 500), (5, 500)] {
            let wait = retry.wait(failures, Seq::new(7)).unwrap().as_millis();
            assert!((full / 2..=full).contains(&wait), "{wait} of {full}");
        }
        assert_eq!(retry.wait(6, Seq::new(7)), None);
        assert_eq!(Retry::never().wait(1, Seq::new(7)), None);
        let endless = Retry::new().attempts(u32::MAX);
        assert!(endless.wait(u32::MAX - 1, Seq::new(7)).unwrap() <= Duration::from_secs(30));
    }
}
