use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jetwash_store::Seq;

/// The latest records that came in, so that a deletion or an update can tell what was there before.
///
/// It is bounded in bytes. What has been there longest goes first, whether it is a record or what
/// an event had before it.
#[derive(Debug)]
pub(crate) struct RecordCache {
    budget: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    entries: HashMap<Key, Entry>,
    /// The keys by age. One that has been written again since is here twice, and counts where its
    /// stamp is that of the entry.
    order: VecDeque<(Key, u64)>,
    bytes: usize,
    stamp: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    /// A record, by its path with the account before it.
    Record(Arc<str>),
    /// The record before an event, by the event's position.
    Before(Seq),
}

#[derive(Debug)]
struct Entry {
    json: Arc<str>,
    stamp: u64,
}

impl RecordCache {
    pub(crate) fn new(budget: usize) -> Self {
        Self {
            budget,
            inner: Mutex::default(),
        }
    }

    /// Notes that the event at `seq` has put `record` at a path, or nothing.
    pub(crate) fn note(&self, seq: Seq, path: &str, record: Option<&str>) {
        let mut inner = self.lock();
        let key = Key::Record(path.into());
        if let Some(before) = inner.remove(&key) {
            inner.insert(Key::Before(seq), before);
        }
        if let Some(record) = record {
            inner.insert(key, record.into());
        }
        inner.shrink_to(self.budget);
    }

    /// Returns the record before the event at a position, if it is still known.
    pub(crate) fn before(&self, seq: Seq) -> Option<Arc<str>> {
        let inner = self.lock();
        let entry = inner.entries.get(&Key::Before(seq))?;
        Some(Arc::clone(&entry.json))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn insert(&mut self, key: Key, json: Arc<str>) {
        self.stamp += 1;
        let stamp = self.stamp;
        self.bytes += cost(&key, &json) + IN_ORDER;
        self.order.push_back((key.clone(), stamp));
        self.entries.insert(key, Entry { json, stamp });
    }

    fn remove(&mut self, key: &Key) -> Option<Arc<str>> {
        let entry = self.entries.remove(key)?;
        self.bytes -= cost(key, &entry.json);
        Some(entry.json)
    }

    fn shrink_to(&mut self, budget: usize) {
        while self.bytes > budget {
            let Some((key, stamp)) = self.order.pop_front() else {
                return;
            };
            self.bytes -= IN_ORDER;
            let entry = self.entries.get(&key);
            if entry.is_some_and(|entry| entry.stamp == stamp) {
                self.remove(&key);
            }
        }
    }
}

/// The approximate memory of an entry.
fn cost(key: &Key, json: &str) -> usize {
    let text = match key {
        Key::Record(path) => path.len(),
        Key::Before(_) => 0,
    };
    json.len() + text + 2 * size_of::<(Key, Entry)>()
}

/// The memory of a place in the order.
const IN_ORDER: usize = 2 * size_of::<(Key, u64)>();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_there_before_is_told() {
        let cache = RecordCache::new(1 << 20);
        cache.note(Seq::FIRST, "did:web:a.example/a.b.c/1", Some("{}"));
        cache.note(Seq::new(2), "did:web:a.example/a.b.c/1", Some("[]"));
        cache.note(Seq::new(3), "did:web:a.example/a.b.c/1", None);
        cache.note(Seq::new(4), "did:web:a.example/a.b.c/1", None);
        let before = |seq| cache.before(seq).map(|json| json.to_string());
        assert_eq!(before(Seq::FIRST), None);
        assert_eq!(before(Seq::new(2)).as_deref(), Some("{}"));
        assert_eq!(before(Seq::new(3)).as_deref(), Some("[]"));
        assert_eq!(before(Seq::new(4)), None);
    }

    #[test]
    fn the_oldest_goes_when_the_bytes_are_used_up() {
        let budget = 100_000;
        let cache = RecordCache::new(budget);
        let record = "x".repeat(100);
        for number in 0..10_000 {
            cache.note(
                Seq::new(number),
                &format!("did:web:a.example/a.b.c/{number}"),
                Some(&record),
            );
            assert!(cache.lock().bytes <= budget);
        }
        cache.note(Seq::new(10_000), "did:web:a.example/a.b.c/9999", None);
        cache.note(Seq::new(10_001), "did:web:a.example/a.b.c/0", None);
        assert!(
            cache.before(Seq::new(10_000)).is_some() && cache.before(Seq::new(10_001)).is_none()
        );
        assert!(cache.lock().entries.len() > 100);
    }

    #[test]
    fn one_record_written_again_and_again_takes_no_more() {
        let cache = RecordCache::new(10_000);
        for number in 0..10_000 {
            cache.note(Seq::new(number), "did:web:a.example/a.b.c/1", Some("{}"));
        }
        let inner = cache.lock();
        assert!(inner.bytes <= 10_000 && inner.order.len() < 200);
    }
}
