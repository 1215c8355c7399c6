use std::time::{Duration, Instant};

/// A token bucket.
#[derive(Debug)]
pub(crate) struct Bucket {
    tokens: f64,
    /// The most tokens it holds.
    most: f64,
    filled: Instant,
}

impl Bucket {
    /// A full bucket of this many tokens.
    pub(crate) const fn full(tokens: f64, now: Instant) -> Self {
        Self {
            tokens,
            most: tokens,
            filled: now,
        }
    }

    /// Takes tokens and returns how long to wait until they are there. The bucket may go into debt,
    /// so that each caller waits behind those before it.
    pub(crate) fn take(&mut self, tokens: f64, rate: f64, now: Instant) -> Duration {
        self.fill(rate, now);
        self.tokens -= tokens;
        if self.tokens >= 0.0 {
            Duration::ZERO
        } else {
            Duration::try_from_secs_f64(-self.tokens / rate).unwrap_or(Duration::MAX)
        }
    }

    /// Takes tokens only if there are enough.
    pub(crate) fn take_now(&mut self, tokens: f64, rate: f64, now: Instant) -> bool {
        self.fill(rate, now);
        let is_enough = self.tokens >= tokens;
        if is_enough {
            self.tokens -= tokens;
        }
        is_enough
    }

    fn fill(&mut self, rate: f64, now: Instant) {
        let elapsed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = (self.tokens + elapsed * rate).min(self.most);
        self.filled = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_a_second_at_once_and_then_its_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::full(100.0, start);
        assert_eq!(bucket.take(100.0, 100.0, start), Duration::ZERO);
        assert_eq!(bucket.take(50.0, 100.0, start), Duration::from_millis(500));
        let later = start + Duration::from_secs(10);
        assert_eq!(bucket.take(100.0, 100.0, later), Duration::ZERO);
        assert_eq!(bucket.take(1.0, 100.0, later), Duration::from_millis(10));
    }
}
