//! The locks and wake-ups of shards and seats. [`models`](super::models) puts those of loom in their
//! place.

pub(super) use std::sync::atomic::{AtomicU64, Ordering};
pub(super) use std::sync::{Mutex, MutexGuard};

pub(super) use tokio::sync::Notify;
pub(super) use tokio::task::yield_now;
