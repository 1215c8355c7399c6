use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The time that it takes to hand out a batch: a mean in which each batch counts for an eighth.
#[derive(Debug, Default)]
pub(crate) struct Cost {
    nanoseconds: AtomicU64,
}

impl Cost {
    /// Notes how long a batch has taken.
    ///
    /// A thread that was set aside meanwhile looks slow: one batch counts for no more than four
    /// times the mean.
    pub(crate) fn note(&self, time: Duration) {
        let mean = self.nanoseconds.load(Ordering::Relaxed);
        let time = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let time = time.min(mean.max(LEAST).saturating_mul(4));
        // Only one task notes.
        let mean = mean - mean / 8 + time / 8;
        self.nanoseconds.store(mean, Ordering::Relaxed);
    }

    /// Returns the mean.
    pub(crate) fn mean(&self) -> Duration {
        Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed))
    }
}

/// A first batch counts for up to four times this much: 400 µs.
const LEAST: u64 = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn after(times: impl IntoIterator<Item = u64>) -> u64 {
        let cost = Cost::default();
        for time in times {
            cost.note(Duration::from_micros(time));
        }
        u64::try_from(cost.mean().as_micros()).unwrap()
    }

    #[test]
    fn the_mean_follows_what_batches_take() {
        assert!((1_900..=2_000).contains(&after([2_000; 100])));
        let slower = [10; 100].into_iter().chain([3_000; 100]);
        assert!((2_900..=3_000).contains(&after(slower)));
    }

    #[test]
    fn one_batch_that_was_held_up_counts_little() {
        let held_up = [1_000; 100].into_iter().chain([1_000_000]);
        assert!(after(held_up) < 1_500);
        assert_eq!(after([u64::MAX / 1_000]), 50);
    }
}
