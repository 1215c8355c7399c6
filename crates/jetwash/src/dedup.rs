use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

/// The recent past, in two halves: when the newer is full, the older is forgotten.
///
/// Only hashes are kept. Two things that share all 64 bits would be taken for one, which with a
/// secret key cannot be arranged and by chance happens once in a hundred million years.
#[derive(Debug)]
pub(crate) struct Recent {
    hasher: RandomState,
    newer: HashSet<u64>,
    older: HashSet<u64>,
    capacity: usize,
}

impl Recent {
    /// Remembers at least the last `capacity` things, and at most twice as many.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            hasher: RandomState::new(),
            newer: HashSet::new(),
            older: HashSet::new(),
            capacity,
        }
    }

    /// Whether it was not there yet.
    pub(crate) fn insert(&mut self, parts: &[&str]) -> bool {
        let hash = self.hasher.hash_one(parts);
        if self.older.contains(&hash) || !self.newer.insert(hash) {
            return false;
        }
        if self.newer.len() >= self.capacity {
            self.older = std::mem::take(&mut self.newer);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_recent_is_known_and_what_is_old_is_forgotten() {
        let mut recent = Recent::new(100);
        assert!(recent.insert(&["a", "b"]));
        assert!(!recent.insert(&["a", "b"]));
        assert!(recent.insert(&["ab", ""]));
        for number in 0..98 {
            assert!(recent.insert(&[&number.to_string()]));
        }
        assert!(
            !recent.insert(&["a", "b"]),
            "it is still among the last two hundred"
        );
        for number in 100..200 {
            recent.insert(&[&number.to_string()]);
        }
        assert!(recent.insert(&["a", "b"]));
        assert!(recent.newer.len() + recent.older.len() <= 200);
    }
}
