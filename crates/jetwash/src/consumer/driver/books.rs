//! Keeps the consumer's cursor and its dead letters in the log's store.

use std::sync::Arc;

use jetwash_store::{Cursor, CursorError};
use tokio::task::JoinError;
use tokio::time::Instant;
use tracing::{error, warn};

use super::Driver;
use super::work::Written;
use crate::consumer::{ConsumerError, Handler};
use crate::executor::run_blocking_in;

impl<H: Handler> Driver<H> {
    /// Stores the cursor, if it has moved. It never goes back, and never is a 0 that says nothing:
    /// what is not stored is where it was.
    pub(super) fn save(&mut self) {
        let to = self.watermark();
        if self.is_saving || to <= self.stored.unwrap_or_default() {
            return;
        }
        self.is_saving = true;
        self.done_since_save = 0;
        self.last_save = Instant::now();
        let (shared, stored) = (Arc::clone(&self.shared), self.stored);
        // If this run is dropped, the next one waits for what is being written.
        let saving = Arc::clone(&shared.saving).try_lock_owned();
        run_blocking_in(&mut self.writes, shared.store.may_block(), move || {
            let _saving = saving;
            let saved = shared.store.advance_named_cursor(&shared.name, stored, to);
            Written::Cursor(to, saved)
        });
    }

    pub(super) fn written(&mut self, written: Result<Written, JoinError>) {
        let name = self.shared.name.clone();
        match written {
            Ok(Written::Cursor(to, Ok(()))) => {
                self.is_saving = false;
                self.stored = Some(to);
            }
            Ok(Written::Cursor(_, Err(CursorError::Store(source)))) => {
                // It is tried again, and matters only at the next start.
                self.is_saving = false;
                warn!(consumer = name, error = %source, "the consumer's cursor cannot be stored");
            }
            Ok(Written::Cursor(_, Err(source))) => {
                self.is_saving = false;
                self.fail_with(ConsumerError::Cursor { name, source });
            }
            Ok(Written::Letter(job, reason, Ok(()))) => {
                self.aside -= 1;
                let seq = job.item.event.seq();
                error!(consumer = name, did = %job.did, %seq, reason, "the event is put aside");
                self.counts.dead_lettered += 1;
                self.meter.outcome("dead_lettered");
                self.finish(*job);
            }
            Ok(Written::Letter(job, reason, Err(source))) => {
                self.fail_with(ConsumerError::DeadLetter {
                    name,
                    seq: job.item.event.seq(),
                    did: job.did.to_string(),
                    reason,
                    source,
                });
            }
            Err(error) => self.fail_with(ConsumerError::Read {
                name,
                source: error.into(),
            }),
        }
    }

    pub(super) fn watermark(&self) -> Cursor {
        let read = if self.telling.is_empty() {
            self.walk.cursor()
        } else {
            self.before_gap
        };
        self.window.watermark(read)
    }
}
