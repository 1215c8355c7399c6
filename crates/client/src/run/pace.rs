use std::time::Duration;

use jetwash_event::Micros;

/// How often events come, by the server's clock, so that silence can be told from a quiet hour,
/// also while the past is replayed.
#[derive(Debug, Default)]
pub(super) struct Pace {
    last: Option<Micros>,
    /// The mean time between two events, in microseconds; recent ones count more.
    mean: f64,
    events: u32,
}

impl Pace {
    pub(super) fn event(&mut self, time: Micros) {
        if let Some(last) = self.last {
            let gap = time.since(last).as_micros() as f64;
            let weight = if self.events < MEMORY {
                1.0 / f64::from(self.events)
            } else {
                WEIGHT
            };
            self.mean += (gap - self.mean) * weight;
        }
        self.events = self.events.saturating_add(1);
        self.last = Some(time);
    }

    /// How long there may be no event. `None` if nothing is known, and the server may have none.
    pub(super) fn limit(&self, least: Duration, is_filtered: bool) -> Option<Duration> {
        if self.events >= FEW {
            let usual = Duration::from_micros((self.mean * EVENTS) as u64);
            return Some(usual.max(least));
        }
        (!is_filtered).then_some(least)
    }
}

/// A pause in which usually this many events come does not happen by chance.
const EVENTS: f64 = 20.0;
const FEW: u32 = 10;
const MEMORY: u32 = 100;
const WEIGHT: f64 = 1.0 / MEMORY as f64;

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: Duration = Duration::from_secs(60);

    fn after(count: u64, every: Duration) -> Pace {
        let mut pace = Pace::default();
        for number in 0..count {
            pace.event(Micros::new(number * every.as_micros() as u64));
        }
        pace
    }

    #[test]
    fn a_busy_stream_may_pause_for_the_least_time_and_a_quiet_one_for_longer() {
        let busy = after(1000, Duration::from_millis(1));
        assert_eq!(busy.limit(LEAST, true), Some(LEAST));
        let quiet = after(1000, Duration::from_secs(60))
            .limit(LEAST, true)
            .unwrap();
        assert!(
            quiet.abs_diff(Duration::from_secs(1200)) < Duration::from_secs(1),
            "{quiet:?}"
        );
        // A stream that becomes quiet is given more time.
        let mut slower = after(1000, Duration::from_millis(1));
        for number in 1..1000 {
            slower.event(Micros::new(1_000_000 + number * 60_000_000));
        }
        assert!(slower.limit(LEAST, true).unwrap() > Duration::from_secs(1100));
    }

    #[test]
    fn of_a_stream_without_events_only_the_filter_says_whether_some_must_come() {
        let pace = after(9, Duration::from_millis(1));
        assert_eq!(pace.limit(LEAST, true), None);
        assert_eq!(pace.limit(LEAST, false), Some(LEAST));
    }
}
