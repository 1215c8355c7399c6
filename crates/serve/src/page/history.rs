use std::collections::VecDeque;

use serde::Serialize;
use tokio::time::Instant;

use crate::page::numbers::tenths;

/// The samples of the last hour.
#[derive(Debug, Default)]
pub(crate) struct History {
    samples: VecDeque<Sample>,
    /// How many samples have been taken.
    taken: u64,
    before: Option<Counts>,
}

/// Rates of the last ten seconds, for a second each.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Sample {
    /// When the ten seconds ended, in milliseconds since 1970.
    pub(crate) at_ms: u64,
    /// Frames that arrived.
    pub(crate) frames: f64,
    /// Events that went into the log.
    pub(crate) events: f64,
    /// The bytes of their JSON.
    pub(crate) bytes: f64,
    /// Events that went to subscribers, all together.
    pub(crate) delivered: f64,
}

/// Counts since the start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts {
    pub(crate) at: Instant,
    pub(crate) frames: u64,
    pub(crate) events: u64,
    pub(crate) bytes: u64,
    pub(crate) delivered: u64,
}

impl History {
    /// Takes a sample of what has been counted since the last one.
    pub(crate) fn take(&mut self, now: Counts, at_ms: u64) {
        if let Some(before) = self.before.replace(now) {
            let seconds = (now.at - before.at).as_secs_f64().max(0.001);
            let rate = |now: u64, before: u64| tenths(now.saturating_sub(before) as f64 / seconds);
            self.samples.push_back(Sample {
                at_ms,
                frames: rate(now.frames, before.frames),
                events: rate(now.events, before.events),
                bytes: rate(now.bytes, before.bytes),
                delivered: rate(now.delivered, before.delivered),
            });
            self.taken += 1;
            if self.samples.len() > KEPT {
                self.samples.pop_front();
            }
        }
    }

    /// All samples, the oldest first, as an array of JSON.
    pub(crate) fn all(&self) -> String {
        serde_json::to_string(&self.samples).unwrap_or_else(|_| "[]".to_owned())
    }

    /// How many samples have been taken so far.
    pub(crate) const fn taken(&self) -> u64 {
        self.taken
    }

    /// Those that were taken after the first `taken` ones, as far as they are kept.
    pub(crate) fn since(&self, taken: u64) -> impl Iterator<Item = &Sample> {
        let new = self.taken.saturating_sub(taken);
        let new = usize::try_from(new).unwrap_or(usize::MAX);
        self.samples.range(self.samples.len().saturating_sub(new)..)
    }
}

/// An hour of them.
const KEPT: usize = 360;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn counts(begun: Instant, second: u64, events: u64) -> Counts {
        Counts {
            at: begun + Duration::from_secs(second),
            frames: 0,
            events,
            bytes: 0,
            delivered: 0,
        }
    }

    #[test]
    fn a_sample_is_the_rate_since_the_one_before() {
        let (mut history, begun) = (History::default(), Instant::now());
        history.take(counts(begun, 0, 1_000), 0);
        assert_eq!(history.taken(), 0);
        history.take(counts(begun, 10, 1_255), 10_000);
        let rates: Vec<_> = history.since(0).map(|sample| sample.events).collect();
        assert_eq!(rates, [25.5]);
    }

    #[test]
    fn an_hour_of_samples_is_kept() {
        let (mut history, begun) = (History::default(), Instant::now());
        for second in 0..500 {
            history.take(counts(begun, 10 * second, 0), second);
        }
        assert_eq!(history.taken(), 499);
        let all: Vec<_> = history.since(0).map(|sample| sample.at_ms).collect();
        assert_eq!((all.len(), all[0], all[359]), (360, 140, 499));
        let new: Vec<_> = history.since(497).map(|sample| sample.at_ms).collect();
        assert_eq!(new, [498, 499]);
        assert_eq!(history.since(600).count(), 0);
    }
}
