//! Jitter, so that what was done together is not done together again.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Not good randomness, only different between processes. Copies share their state.
#[derive(Clone)]
pub(crate) struct Random(Arc<AtomicU64>);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(AtomicU64::new(seed)))
    }

    /// A seed from the keys that the standard library gives each of its hash tables.
    pub(crate) fn seed() -> u64 {
        std::hash::RandomState::new().hash_one(0_u8)
    }

    /// Between half and all of a time.
    pub(crate) fn spread(&self, full: Duration) -> Duration {
        full / 2 + full / 2 * (self.next() % 1024) as u32 / 1024
    }

    /// Splitmix64.
    fn next(&self) -> u64 {
        let state = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
