//! How often one DID may cause a look-up out of turn.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jetwash_event::Did;
use tokio::time::Instant;

use crate::hosts::{Budget, HostState};

/// Once for each DID in an interval, and within a budget for all together, which also bounds what
/// has to be remembered.
pub(crate) struct Limiter {
    interval_ms: u64,
    total: Budget,
    hasher: RandomState,
    recent: Mutex<Recent>,
}

#[derive(Default)]
struct Recent {
    total: HostState,
    /// By the hash of the DID: when.
    last_ms: HashMap<u64, u64>,
    /// How many there were after the last were forgotten.
    kept: usize,
}

impl Limiter {
    pub(crate) fn new(interval: Duration, total: Budget) -> Self {
        Self {
            interval_ms: interval.as_millis() as u64,
            total,
            hasher: RandomState::new(),
            recent: Mutex::default(),
        }
    }

    pub(crate) fn admit(&self, did: &Did, now_ms: u64) -> bool {
        let key = self.hasher.hash_one(did);
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let is_recent = |last: u64| now_ms.abs_diff(last) < self.interval_ms;
        if recent
            .last_ms
            .get(&key)
            .is_some_and(|last| is_recent(*last))
        {
            return false;
        }
        let admitted = recent
            .total
            .admit(self.total, Instant::now(), Duration::ZERO);
        if admitted.is_err() {
            return false;
        }
        if recent.last_ms.len() >= 2 * recent.kept.max(1024) {
            recent.last_ms.retain(|_, last| is_recent(*last));
            recent.kept = recent.last_ms.len();
        }
        recent.last_ms.insert(key, now_ms);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_what_is_recent_and_has_a_bound() {
        let interval = Duration::from_secs(1);
        let limiter = Limiter::new(interval, Budget::new(1_000_000, interval));
        let did = |number: u64| format!("did:web:n{number}.example").parse().unwrap();
        // One each millisecond, so a thousand are recent.
        for number in 0..20_000 {
            assert!(limiter.admit(&did(number), number), "{number}");
            let kept = limiter.recent.lock().unwrap().last_ms.len();
            assert!(kept <= 2 * 1024, "{kept} after {number}");
        }
        for number in 19_001..20_000 {
            assert!(!limiter.admit(&did(number), 20_000), "{number}");
        }
        assert!(limiter.admit(&did(19_000), 20_000));
    }
}
