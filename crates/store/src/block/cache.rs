use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::seq::Seq;

/// Blocks read from disk, by their first position: shared by all readers, bounded in bytes, the
/// one unused for longest forgotten first.
///
/// A block that a reader still holds stays in memory when it is forgotten here, so the whole is
/// bounded by this and one block for each reader.
pub(crate) struct Cache<B> {
    budget: usize,
    inner: Mutex<Inner<B>>,
}

struct Inner<B> {
    blocks: HashMap<Seq, Entry<B>>,
    /// The first positions by the time of last use.
    order: BTreeMap<u64, Seq>,
    clock: u64,
    bytes: usize,
}

struct Entry<B> {
    block: Arc<B>,
    used: u64,
    bytes: usize,
}

impl<B> Cache<B> {
    pub(crate) fn new(budget: usize) -> Self {
        Self {
            budget,
            inner: Mutex::new(Inner {
                blocks: HashMap::new(),
                order: BTreeMap::new(),
                clock: 0,
                bytes: 0,
            }),
        }
    }

    pub(crate) fn get(&self, first_seq: Seq) -> Option<Arc<B>> {
        let mut inner = self.lock();
        let Inner {
            blocks,
            order,
            clock,
            ..
        } = &mut *inner;
        let entry = blocks.get_mut(&first_seq)?;
        *clock += 1;
        order.remove(&entry.used);
        order.insert(*clock, first_seq);
        entry.used = *clock;
        Some(Arc::clone(&entry.block))
    }

    /// Adds a block that takes `bytes`; if another reader has added it meanwhile, returns that one
    /// instead.
    pub(crate) fn insert(&self, first_seq: Seq, block: Arc<B>, bytes: usize) -> Arc<B> {
        let mut inner = self.lock();
        if let Some(entry) = inner.blocks.get(&first_seq) {
            return Arc::clone(&entry.block);
        }
        inner.clock += 1;
        let used = inner.clock;
        inner.order.insert(used, first_seq);
        let entry = Entry {
            block: Arc::clone(&block),
            used,
            bytes,
        };
        inner.blocks.insert(first_seq, entry);
        inner.bytes += bytes;
        inner.shrink_to(self.budget);
        block
    }

    /// Adds to the bytes of a block that has loaded more, if it is still here.
    pub(crate) fn grow(&self, first_seq: Seq, bytes: usize) {
        let mut inner = self.lock();
        let Some(entry) = inner.blocks.get_mut(&first_seq) else {
            return;
        };
        entry.bytes += bytes;
        inner.bytes += bytes;
        inner.shrink_to(self.budget);
    }

    /// Forgets the blocks that begin before a position.
    pub(crate) fn forget_before(&self, seq: Seq) {
        let mut inner = self.lock();
        let gone: Vec<Seq> = inner
            .blocks
            .keys()
            .copied()
            .filter(|first| *first < seq)
            .collect();
        for first_seq in gone {
            inner.remove(first_seq);
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.lock().bytes
    }

    fn lock(&self) -> MutexGuard<'_, Inner<B>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B> Inner<B> {
    fn shrink_to(&mut self, budget: usize) {
        while self.bytes > budget {
            let Some((_, first_seq)) = self.order.first_key_value() else {
                break;
            };
            self.remove(*first_seq);
        }
    }

    fn remove(&mut self, first_seq: Seq) {
        if let Some(entry) = self.blocks.remove(&first_seq) {
            self.order.remove(&entry.used);
            self.bytes -= entry.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let cache = Cache::new(20);
        let seq = |number| Seq::new(number);
        for number in [1, 2] {
            cache.insert(seq(number), Arc::new(number), 10);
        }
        assert_eq!(cache.get(seq(1)).as_deref(), Some(&1));
        cache.insert(seq(3), Arc::new(3), 10);
        assert_eq!(cache.get(seq(2)), None);
        assert_eq!(cache.get(seq(1)).as_deref(), Some(&1));
        assert_eq!(
            (cache.get(seq(3)).as_deref(), cache.bytes()),
            (Some(&3), 20)
        );
    }

    #[test]
    fn what_grows_makes_room_and_what_is_forgotten_gives_it_back() {
        let cache = Cache::new(30);
        for number in [1, 2, 3] {
            cache.insert(Seq::new(number), Arc::new(number), 10);
        }
        cache.grow(Seq::new(3), 10);
        assert_eq!((cache.get(Seq::new(1)), cache.bytes()), (None, 30));
        cache.forget_before(Seq::new(3));
        assert_eq!((cache.get(Seq::new(2)), cache.bytes()), (None, 20));
        assert!(cache.get(Seq::new(3)).is_some());
    }
}
