use std::time::Duration;

/// How long to wait before the next attempt to connect: doubling, with jitter, so that many
/// clients of a relay that restarts do not all come back at once.
#[derive(Debug)]
pub(super) struct Backoff {
    attempts: u32,
    short: u32,
    random: u64,
}

impl Backoff {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            attempts: 0,
            short: 0,
            random: seed | 1,
        }
    }

    /// After a connection that brought `events`: between half and all of 250 ms, so that a relay
    /// that ends each connection early is followed all the same. Doubling up to 2 s if each brings
    /// only a few, lest such a relay is hammered.
    pub(super) fn after_progress(&mut self, events: u64) -> Duration {
        self.attempts = 0;
        self.short = if events < FEW { self.short + 1 } else { 0 };
        let doublings = self.short.saturating_sub(1).min(3);
        self.spread(FLAPPING * (1 << doublings))
    }

    /// After a connection that brought nothing: between half and all of 0.5 s, 1 s, 2 s, … up to
    /// 30 s.
    pub(super) fn next(&mut self) -> Duration {
        let full = LONGEST.min(SHORTEST * (1 << self.attempts.min(10)));
        self.attempts += 1;
        self.spread(full)
    }

    /// How many attempts in a row have brought nothing.
    pub(super) const fn attempts(&self) -> u32 {
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

const SHORTEST: Duration = Duration::from_millis(500);
const FLAPPING: Duration = Duration::from_millis(250);
const FEW: u64 = 10;
const LONGEST: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_thirty_seconds_and_start_again_after_a_reset() {
        let mut backoff = Backoff::new(7);
        for expected in [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000] {
            let wait = backoff.next().as_millis();
            assert!(
                (expected / 2..=expected).contains(&wait),
                "{wait} of {expected}"
            );
        }
        assert!(backoff.after_progress(20).as_millis() <= 250);
        assert!(backoff.next().as_millis() <= 500);
    }

    #[test]
    fn connections_that_bring_events_are_made_again_at_once_but_never_in_a_flood() {
        let mut backoff = Backoff::new(7);
        for _ in 0..100 {
            assert!((125..=250).contains(&backoff.after_progress(20).as_millis()));
        }
        for expected in [250, 500, 1_000, 2_000, 2_000] {
            let wait = backoff.after_progress(1).as_millis();
            assert!((expected / 2..=expected).contains(&wait), "{wait}");
        }
    }
}
