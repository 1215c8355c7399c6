//! Ends a consumer.

use jetwash_store::Cursor;
use tokio::time::{Instant, sleep_until};
use tracing::{error, info, warn};

use super::Driver;
use super::work::{Stop, Written};
use crate::consumer::{ConsumerError, Handler};

impl<H: Handler> Driver<H> {
    /// Lets what is in progress finish, within bounds, and stores the cursor.
    pub(super) async fn wind_down(mut self) -> Result<(), ConsumerError> {
        let deadline = Instant::now() + self.settings.drain;
        while !self.in_hand.is_empty() {
            tokio::select! {
                Some(ended) = self.handlers.join_next_with_id() => self.ended(ended),
                Some(written) = self.writes.join_next() => self.written(written),
                () = sleep_until(deadline) => break,
            }
            self.publish();
        }
        for work in self.in_hand.values() {
            let (name, seq) = (self.shared.name.as_str(), work.job.item.event.seq());
            warn!(
                consumer = name, did = %work.job.did, %seq, held = ?work.since.elapsed(),
                "the handler is not waited for any longer; the event will come again"
            );
        }
        // Dead letters that are being written still count as done; only then is the cursor final.
        self.handlers.abort_all();
        while let Some(written) = self.writes.join_next().await {
            self.written(written);
        }
        self.save();
        // The last save is the one that decides where the next run begins, so its failure is an
        // error.
        let mut unsaved = None;
        if let Some(written) = self.writes.join_next().await {
            if let Ok(Written::Cursor(_, Err(source))) = written {
                let name = self.shared.name.clone();
                unsaved = Some(ConsumerError::Cursor { name, source });
            } else {
                self.written(written);
            }
        }
        self.publish();
        let (name, stored) = (self.shared.name.as_str(), self.stored);
        match (self.stop, unsaved) {
            (Some(Stop::Failed(error)), _) => {
                error!(consumer = name, %error, "the consumer has stopped");
                Err(*error)
            }
            (_, Some(error)) => Err(error),
            (_, None) => {
                info!(
                    consumer = name,
                    stored = stored.map(Cursor::get),
                    "the consumer has ended"
                );
                Ok(())
            }
        }
    }
}
