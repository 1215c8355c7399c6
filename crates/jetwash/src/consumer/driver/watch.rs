//! Looks after the driver at intervals, and tells the handles how it does.

use std::sync::Arc;

use jetwash_store::Seq;
use tokio::time::Instant;
use tracing::{error, warn};

use super::Driver;
use super::work::TICK;
use crate::consumer::handle::InProgress;
use crate::consumer::{Handler, WhenStuck};

impl<H: Handler> Driver<H> {
    /// Does the work that is due at intervals: the cursor, the watchdog and the metrics.
    pub(super) fn tick(&mut self, now: Instant) {
        self.next_tick = now + TICK;
        if now.duration_since(self.last_save) >= self.settings.save_every {
            self.last_save = now;
            self.save();
        }
        self.watch(now);
        let is_full = self.is_full();
        if is_full && !self.was_full {
            let (seq, did) = self.window.oldest().unzip();
            let (name, bytes) = (self.shared.name.as_str(), self.window.bytes());
            warn!(
                consumer = name,
                seq = seq.map(Seq::get),
                did = did.map(|did| &**did),
                bytes,
                "the consumer's window is full, and waits for this event"
            );
        }
        self.was_full = is_full;
        self.meter.tick(now, || (self.shared.lag(), is_full));
    }

    /// Names the handlers that have not returned in time, again and again.
    fn watch(&mut self, now: Instant) {
        let mut stuck = 0;
        for work in self.in_hand.values_mut() {
            let held = now.saturating_duration_since(work.since);
            if held < self.settings.stuck_after {
                continue;
            }
            stuck += 1;
            if held < self.settings.stuck_after * (work.reports + 1) {
                continue;
            }
            work.reports += 1;
            let (name, attempt) = (self.shared.name.as_str(), work.job.failures + 1);
            let seq = work.job.item.event.seq();
            error!(
                consumer = name, did = %work.job.did, %seq, attempt, ?held,
                "the handler is stuck"
            );
            if self.settings.when_stuck != WhenStuck::Wait {
                work.abort.abort();
            }
        }
        if now.saturating_duration_since(self.told_since) >= self.settings.stuck_after {
            // It is only told, so it is not waited for any longer.
            self.telling.abort_all();
        }
        self.meter.stuck(stuck);
    }

    /// Publishes the state of the run to the handles.
    pub(super) fn publish(&self) {
        let mut state = self.shared.state();
        state.cursor = Some(self.watermark());
        state.stored = self.stored;
        state.counts = self.counts;
        state.at_hand = self.window.len();
        state.at_hand_bytes = self.window.bytes();
        state.window_full = self.is_full();
        let oldest = self.window.oldest();
        state.held_by = oldest.map(|(seq, did)| (seq, Arc::clone(did)));
        state.stuck_after = self.settings.stuck_after;
        state.in_progress.clear();
        let in_hand = self.in_hand.values().map(|work| InProgress {
            seq: work.job.item.event.seq(),
            did: Arc::clone(&work.job.did),
            since: work.since,
            attempt: work.job.failures + 1,
        });
        state.in_progress.extend(in_hand);
    }
}
