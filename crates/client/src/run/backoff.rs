use std::time::Duration;

/// How long to wait before the next attempt to connect: doubling from 250 ms to 30 s, with jitter,
/// so that many clients of a host that restarts do not all come back at once.
#[derive(Debug)]
pub(super) struct Backoff {
    attempts: u32,
    random: u64,
}

impl Backoff {
    pub(super) const fn new(seed: u64) -> Self {
        Self {
            attempts: 0,
            random: seed | 1,
        }
    }

    /// A connection has brought something.
    pub(super) const fn progress(&mut self) {
        self.attempts = 0;
    }

    /// Between half and all of 250 ms, 500 ms, 1 s, … up to 30 s.
    pub(super) fn next(&mut self) -> Duration {
        let full = LONGEST.min(SHORTEST * (1 << self.attempts.min(10)));
        self.attempts += 1;
        self.spread(full)
    }

    /// Between half and all of the shortest wait: for the next host of a round.
    pub(super) fn short(&mut self) -> Duration {
        self.spread(SHORTEST)
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

const SHORTEST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_thirty_seconds_and_start_again_after_progress() {
        let mut backoff = Backoff::new(7);
        for expected in [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000] {
            let wait = backoff.next().as_millis();
            assert!(
                (expected / 2..=expected).contains(&wait),
                "{wait} of {expected}"
            );
        }
        backoff.progress();
        assert!((125..=250).contains(&backoff.next().as_millis()));
    }
}
