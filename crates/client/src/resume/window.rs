use std::collections::{HashMap, VecDeque};

use foldhash::fast::RandomState;
use jetwash_event::Micros;

/// Recognises the latest events, a bounded number of them.
///
/// An event is known by a hash of its content, 64 bits with a random key, and by the sequence (the
/// line) and the time that it came with. While connections last nothing is looked up, so the index
/// is made when it is first needed.
pub(super) struct Window {
    entries: VecDeque<Entry>,
    capacity: usize,
    /// How many entries have each content hash, and each exact hash.
    index: Option<HashMap<u64, u32, RandomState>>,
    /// How many events have come since the index was last of use.
    unused: usize,
}

#[derive(Clone, Copy)]
struct Entry {
    hash: u64,
    time: Micros,
    line: u32,
}

impl Entry {
    /// A key that also covers time and line.
    const fn exact(self) -> u64 {
        let mixed = self.time.get().wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = mixed ^ (self.line as u64).wrapping_mul(0xc2b2_ae3d_27d4_eb4f);
        self.hash.rotate_left(23) ^ mixed
    }
}

impl Window {
    pub(super) const fn new(capacity: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            capacity,
            index: None,
            unused: 0,
        }
    }

    /// Returns the time of the oldest event that is recognised.
    pub(super) fn oldest(&self) -> Option<Micros> {
        self.entries.front().map(|entry| entry.time)
    }

    /// Returns the time of the oldest event of a line that is recognised.
    pub(super) fn oldest_of(&self, line: u32) -> Option<Micros> {
        let mut of_line = self.entries.iter().filter(|entry| entry.line == line);
        of_line.next().map(|entry| entry.time)
    }

    /// Takes in an event, and forgets the oldest if there is no more room.
    pub(super) fn push(&mut self, hash: u64, time: Micros, line: u32) {
        let entry = Entry { hash, time, line };
        let oldest = (self.entries.len() >= self.capacity).then(|| self.entries.pop_front());
        self.entries.push_back(entry);
        self.unused += 1;
        if self.unused > self.capacity {
            self.index = None;
        }
        let Some(index) = &mut self.index else { return };
        add(index, entry);
        let Some(oldest) = oldest.flatten() else {
            return;
        };
        for key in [oldest.hash, oldest.exact()] {
            if let Some(count) = index.get_mut(&key) {
                *count -= 1;
                if *count == 0 {
                    index.remove(&key);
                }
            }
        }
    }

    /// Whether this very event is known: the same content at the same time of the same line.
    pub(super) fn has_exact(&mut self, hash: u64, time: Micros, line: u32) -> bool {
        let key = Entry { hash, time, line }.exact();
        self.index().contains_key(&key)
    }

    /// Whether an event of this content is known.
    pub(super) fn has_content(&mut self, hash: u64) -> bool {
        self.index().contains_key(&hash)
    }

    fn index(&mut self) -> &HashMap<u64, u32, RandomState> {
        self.unused = 0;
        let entries = &self.entries;
        self.index.get_or_insert_with(|| {
            let mut index = HashMap::default();
            for &entry in entries {
                add(&mut index, entry);
            }
            index
        })
    }
}

fn add(index: &mut HashMap<u64, u32, RandomState>, entry: Entry) {
    *index.entry(entry.hash).or_default() += 1;
    *index.entry(entry.exact()).or_default() += 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_events_are_known_and_older_ones_forgotten() {
        let mut window = Window::new(4);
        for number in 0..10 {
            window.push(number, Micros::new(number), 1);
            let known: Vec<_> = (0..10).filter(|&hash| window.has_content(hash)).collect();
            let expected: Vec<_> = (number.saturating_sub(3)..=number).collect();
            assert_eq!(known, expected);
            assert!(window.has_exact(number, Micros::new(number), 1));
            assert!(!window.has_exact(number, Micros::new(number), 2));
            assert!(!window.has_exact(number, Micros::new(number + 1), 1));
        }
        assert_eq!(window.oldest(), Some(Micros::new(6)));
    }

    #[test]
    fn the_index_goes_when_it_is_not_used_and_comes_back() {
        let mut window = Window::new(4);
        window.push(1, Micros::new(1), 1);
        assert!(window.has_content(1));
        for number in 2..20 {
            window.push(number, Micros::new(number), 1);
        }
        assert!(window.index.is_none());
        assert!(!window.has_content(15) && window.has_content(16));
        // The same content twice leaves one by one.
        window.push(19, Micros::new(20), 1);
        for number in 0..3 {
            window.push(100 + number, Micros::new(30), 1);
        }
        assert!(window.has_content(19));
        window.push(200, Micros::new(40), 1);
        assert!(!window.has_content(19));
    }
}
