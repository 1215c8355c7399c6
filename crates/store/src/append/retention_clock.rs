use std::time::{Duration, Instant};

use jetwash_event::Micros;

/// The time by which events are judged too old.
///
/// It is the clock's, as long as that goes at the pace of the machine's monotonic one. If it is
/// further ahead, it may be wrong, or the log was not open for long, and nothing tells which: then
/// time continues at the monotonic pace, and once in a while a little further, so that either ends
/// well. What is too old goes a few minutes late, and a wrong clock drops next to nothing.
pub(crate) struct RetentionClock {
    /// `None` until it is first looked at, in a log that was empty then.
    time_us: Option<Micros>,
    /// For how long the clock has been ahead since it was last given in to; `None` if it is not.
    ahead_for: Option<Duration>,
    looked: Instant,
}

impl RetentionClock {
    /// Begins at the time of the log's newest event, if it has any.
    pub(crate) fn new(newest_us: Option<Micros>) -> Self {
        Self {
            time_us: newest_us,
            ahead_for: None,
            looked: Instant::now(),
        }
    }

    /// The time since the last trim.
    pub(crate) fn elapsed(&self) -> Duration {
        self.looked.elapsed()
    }

    /// The time before which events are too old, if they may get as old as `age_us`. `next` gives the
    /// end of the first bucket that ends after a time: it goes as a whole.
    pub(crate) fn cutoff(
        &mut self,
        now_us: Micros,
        elapsed: Duration,
        age: Duration,
        next: impl FnOnce(Micros) -> Option<Micros>,
    ) -> Micros {
        self.looked = Instant::now();
        // The two clocks never agree to the last.
        let passed = elapsed.saturating_add(elapsed / 8);
        let explained = self.time_us.map_or(now_us, |time| time.plus(passed));
        let mut time_us = now_us.min(explained);
        self.ahead_for = match self.ahead_for {
            _ if time_us == now_us => None,
            None => Some(Duration::ZERO),
            Some(before) => Some(before.saturating_add(elapsed)),
        };
        if self.ahead_for.is_some_and(|ahead| ahead >= GIVE_IN) {
            let end = next(time_us.minus(age));
            let end = end.map(|end| end.plus(age));
            if let Some(end) = end.filter(|end| *end <= now_us) {
                time_us = end;
                self.ahead_for = Some(Duration::ZERO);
            }
        }
        self.time_us = Some(time_us);
        time_us.minus(age)
    }
}

/// How often a clock that is ahead may take a bucket.
const GIVE_IN: Duration = Duration::from_secs(60);
