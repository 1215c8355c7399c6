use std::ops::AddAssign;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use crate::form::format::{Compression, Format};

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

/// Counts what subscribers of version 2 get, under the names that Jetstream version 2 uses, for one
/// way to compress.
#[derive(Clone)]
pub(crate) struct Sent {
    subscribers: Gauge,
    events: Counter,
    bytes: Counter,
}

impl Sent {
    /// Counts a subscriber that has come.
    pub(crate) fn new(format: Format) -> Self {
        let compression = match format.compression {
            Compression::None => "none",
            _ => "zstd",
        };
        let sent = Self {
            subscribers: gauge!("jetstream_subscribe_subscribers", "compression" => compression),
            events: counter!("jetstream_subscribe_events_sent_total", "compression" => compression),
            bytes: counter!("jetstream_subscribe_bytes_sent_total", "compression" => compression),
        };
        sent.subscribers.increment(1);
        sent
    }

    pub(crate) fn sent(&self, delivered: Delivered) {
        self.events.increment(delivered.events);
        self.bytes.increment(delivered.bytes);
    }

    /// Counts that the subscriber has gone, and whether it said so.
    pub(crate) fn leave(self, is_clean: bool) {
        self.subscribers.decrement(1);
        if is_clean {
            counter!("jetstream_subscribe_clean_disconnects_total").increment(1);
        }
    }
}

/// Counts what one mirror gets, from when it comes until this is dropped.
pub(crate) struct Mirrored {
    mirrors: Gauge,
    events: Counter,
    bytes: Counter,
}

impl Mirrored {
    pub(crate) fn new() -> Self {
        let mirrors = gauge!("jetwash_mirrors_connected");
        mirrors.increment(1);
        Self {
            mirrors,
            events: counter!("jetwash_mirror_events_sent_total"),
            bytes: counter!("jetwash_mirror_bytes_sent_total"),
        }
    }

    pub(crate) fn sent(&self, delivered: Delivered) {
        self.events.increment(delivered.events);
        self.bytes.increment(delivered.bytes);
    }
}

impl Drop for Mirrored {
    fn drop(&mut self) {
        self.mirrors.decrement(1);
    }
}

/// Counts the cursor of a subscriber of version 2.
pub(crate) fn cursor_requested(mode: &'static str) {
    counter!("jetstream_subscribe_cursor_requests_total", "mode" => mode).increment(1);
}

/// Counts what a subscriber of version 2 says about the subprotocol.
pub(crate) fn subprotocol_negotiated(outcome: &'static str) {
    counter!("jetstream_subscribe_subprotocol_negotiations_total", "outcome" => outcome)
        .increment(1);
}
