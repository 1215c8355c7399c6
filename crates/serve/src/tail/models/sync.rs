//! The locks and wake-ups of loom, with the promises of those that they stand for.

pub(super) use loom::sync::atomic::{AtomicU64, Ordering};
pub(super) use loom::sync::{Mutex, MutexGuard};

/// tokio's `Notify` for one that waits: a call before the wait ends it at once, and several count as
/// one. It blocks its thread, as each task of a model has its own.
pub(super) struct Notify(loom::sync::Notify);

impl Notify {
    pub(super) fn new() -> Self {
        Self(loom::sync::Notify::new())
    }

    pub(super) fn notify_one(&self) {
        self.0.notify();
    }

    pub(super) async fn notified(&self) {
        self.0.wait();
    }
}

/// Nothing has to be left to others: loom tries every order anyway.
pub(super) async fn yield_now() {}
