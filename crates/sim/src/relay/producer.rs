use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::config::Rate;
use super::history::History;
use super::state::Relay;

/// Makes frames at the configured rate, up to the configured number.
pub(super) async fn produce(relay: Arc<Relay>) {
    if relay.config.wait_for_reader {
        until(&relay, History::had_readers).await;
    }
    let mut left = relay.config.frames.unwrap_or(u64::MAX);
    let mut pace = Pace::new(relay.config.rate);
    while left > 0 {
        let count = pace.next(&relay).await.min(left).min(BATCH);
        let maker = Arc::clone(&relay);
        // Signing keeps a core busy, so it is done where it does not keep the readers waiting.
        let made = tokio::task::spawn_blocking(move || make(&maker, count)).await;
        let Ok(made) = made else { return };
        left -= made;
        pace.made += made;
    }
}

/// Few at a time, so that requests for documents and repositories are answered in between.
const BATCH: u64 = 64;

const TICK: Duration = Duration::from_millis(5);

/// Makes some frames, fewer if the readers are to set the pace and one of them lags.
fn make(relay: &Relay, count: u64) -> u64 {
    for made in 0..count {
        if relay.config.rate == Rate::Max && relay.history().is_held_back() {
            return made;
        }
        let frame = relay.network().next();
        let Some(frame) = frame else { return made };
        relay.feed.push(Bytes::from(frame.bytes));
    }
    count
}

/// How many frames are due.
struct Pace {
    rate: Rate,
    start: Instant,
    made: u64,
    ticks: tokio::time::Interval,
}

impl Pace {
    fn new(rate: Rate) -> Self {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        Self {
            rate,
            start: Instant::now(),
            made: 0,
            ticks,
        }
    }

    /// Waits until at least one frame is due.
    async fn next(&mut self, relay: &Relay) -> u64 {
        match self.rate {
            Rate::Max => {
                until(relay, |history| !history.is_held_back()).await;
                u64::MAX
            }
            Rate::PerSecond(rate) => loop {
                let due = self.due(rate.get().into());
                if due > 0 {
                    return due;
                }
                self.ticks.tick().await;
            },
        }
    }

    fn due(&mut self, rate: u64) -> u64 {
        let elapsed = self.start.elapsed().as_micros();
        let until_now = u64::try_from(elapsed * u128::from(rate) / 1_000_000).unwrap_or(u64::MAX);
        let due = until_now.saturating_sub(self.made);
        // A machine that cannot keep up runs at its own speed and does not try to catch up.
        if due > rate.max(BATCH) {
            self.made = until_now - BATCH;
            return BATCH;
        }
        due
    }
}

/// Waits until `are_so` holds of the readers.
async fn until(relay: &Relay, are_so: impl Fn(&History) -> bool) {
    loop {
        let progress = relay.feed.progress.notified();
        tokio::pin!(progress);
        // Registered before looking, so that a reader that moves in between is not missed.
        progress.as_mut().enable();
        if are_so(&relay.history()) {
            return;
        }
        progress.await;
    }
}
