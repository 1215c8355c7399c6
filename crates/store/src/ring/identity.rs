use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::identity::LogId;

/// Which log a ring holds. It changes once at most: when an empty ring becomes a mirror.
#[derive(Debug)]
pub(crate) struct Identity {
    id: AtomicU64,
    is_mirror: AtomicBool,
}

impl Identity {
    pub(crate) const fn new(id: LogId, is_mirror: bool) -> Self {
        Self {
            id: AtomicU64::new(id.get()),
            is_mirror: AtomicBool::new(is_mirror),
        }
    }

    pub(crate) fn id(&self) -> LogId {
        LogId::from_number(self.id.load(Ordering::Acquire))
    }

    /// Whether another ring gives out the positions of this log.
    pub(crate) fn is_mirror(&self) -> bool {
        self.is_mirror.load(Ordering::Acquire)
    }

    pub(crate) fn become_mirror(&self, id: LogId) {
        self.id.store(id.get(), Ordering::Release);
        self.is_mirror.store(true, Ordering::Release);
    }
}
