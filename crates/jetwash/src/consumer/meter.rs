use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use tokio::time::Instant;

use crate::consumer::Lag;

/// Reports a consumer to the `metrics` facade. The only label from outside is its name, which the
/// program chose.
pub(super) struct Meter {
    name: String,
    lost: Counter,
    seconds: Histogram,
    stuck: Gauge,
    full: Gauge,
    next: Option<Instant>,
}

impl Meter {
    pub(super) fn new(name: &str) -> Self {
        let label = [("consumer", name.to_owned())];
        Self {
            name: name.to_owned(),
            lost: counter!("jetwash_consumer_lost_events_total", &label),
            seconds: histogram!("jetwash_consumer_handler_seconds", &label),
            stuck: gauge!("jetwash_consumer_stuck_handlers", &label),
            full: gauge!("jetwash_consumer_window_full", &label),
            next: None,
        }
    }

    pub(super) fn outcome(&self, outcome: &'static str) {
        let labels = [
            ("consumer", self.name.clone()),
            ("outcome", outcome.to_owned()),
        ];
        counter!("jetwash_consumer_events_total", &labels).increment(1);
    }

    pub(super) fn attempt(&self, time: Duration) {
        self.seconds.record(time.as_secs_f64());
    }

    pub(super) fn lost(&self, events: u64) {
        self.lost.increment(events);
    }

    pub(super) fn stuck(&self, handlers: usize) {
        self.stuck.set(handlers as f64);
    }

    /// Once a second, how far behind it is.
    pub(super) fn tick(&mut self, now: Instant, state: impl FnOnce() -> (Lag, bool)) {
        if self.next.is_some_and(|next| now < next) {
            return;
        }
        self.next = Some(now + EVERY);
        let (lag, is_full) = state();
        self.full.set(f64::from(u8::from(is_full)));
        let stages = [
            ("upstream", lag.upstream, None),
            ("decode", lag.decode.time, Some(lag.decode)),
            ("handler", lag.handler.time, Some(lag.handler)),
        ];
        for (stage, time, behind) in stages {
            let labels = [("consumer", self.name.clone()), ("stage", stage.to_owned())];
            gauge!("jetwash_consumer_lag_seconds", &labels).set(time.as_secs_f64());
            if let Some(behind) = behind {
                gauge!("jetwash_consumer_lag_events", &labels).set(behind.events as f64);
                gauge!("jetwash_consumer_lag_bytes", &labels).set(behind.bytes as f64);
            }
        }
    }
}

const EVERY: Duration = Duration::from_secs(1);
