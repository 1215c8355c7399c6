use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::{Backend, Batch};
use crate::error::BackendError;
use crate::options::Durability;

/// Writes to the backend and syncs as the ring's durability asks, for the appender and for
/// consumers.
pub(crate) struct Durable {
    backend: Arc<dyn Backend>,
    durability: Durability,
    last_sync: Mutex<Instant>,
}

impl Durable {
    pub(crate) fn new(backend: Arc<dyn Backend>, durability: Durability) -> Self {
        Self {
            backend,
            durability,
            last_sync: Mutex::new(Instant::now()),
        }
    }

    pub(crate) fn backend(&self) -> &dyn Backend {
        &*self.backend
    }

    pub(crate) fn write(&self, batch: &Batch) -> Result<(), BackendError> {
        self.backend.write(batch)?;
        self.sync_if_due()
    }

    pub(crate) fn sync_if_due(&self) -> Result<(), BackendError> {
        let is_due = match self.durability {
            Durability::Buffered => false,
            Durability::Synced(interval) => self.last_sync().elapsed() >= interval,
            Durability::SyncedBatch => true,
        };
        if is_due { self.sync() } else { Ok(()) }
    }

    pub(crate) fn sync(&self) -> Result<(), BackendError> {
        self.backend.sync()?;
        *self.last_sync() = Instant::now();
        Ok(())
    }

    fn last_sync(&self) -> MutexGuard<'_, Instant> {
        self.last_sync
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
