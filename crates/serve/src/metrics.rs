use std::ops::AddAssign;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

/// The server's figures for the `metrics` facade, under the names that Jetstream version 1 uses, so
/// that its dashboards continue working. Addresses are not among the labels: they have no bound.
pub(crate) struct Metrics {
    pub(crate) subscribers: Gauge,
    events_delivered: Counter,
    bytes_delivered: Counter,
    pub(crate) cursors_clamped: Counter,
    pub(crate) slowed: Counter,
    pub(crate) delivery_delay: Histogram,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Self {
            subscribers: gauge!("jetstream_subscribers_connected"),
            events_delivered: counter!("jetstream_events_delivered_total"),
            bytes_delivered: counter!("jetstream_bytes_delivered_total"),
            cursors_clamped: counter!("jetwash_cursors_clamped_total"),
            slowed: counter!("jetwash_subscribers_slowed_total"),
            delivery_delay: histogram!("jetwash_delivery_delay_seconds"),
        }
    }

    pub(crate) fn delivered(&self, delivered: Delivered) {
        self.events_delivered.increment(delivered.events);
        self.bytes_delivered.increment(delivered.bytes);
    }
}

/// Events that have been sent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Delivered {
    pub(crate) events: u64,
    /// The bytes of the events alone.
    pub(crate) bytes: u64,
}

impl AddAssign for Delivered {
    fn add_assign(&mut self, other: Self) {
        self.events += other.events;
        self.bytes += other.bytes;
    }
}

/// Counts a subscriber that was not let in.
pub(crate) fn refused(reason: &'static str) {
    counter!("jetwash_subscribers_refused_total", "reason" => reason).increment(1);
}
