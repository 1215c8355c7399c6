use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::backend::state;
use crate::seq::Seq;

/// How far the upstreams have been read: now, and as of the last commit.
pub(super) struct Cursors {
    values: BTreeMap<String, u64>,
    /// The names of those that are not stored with these values.
    changed: BTreeSet<String>,
    committed: BTreeMap<String, u64>,
    /// The position of the last commit.
    committed_seq: Seq,
}

impl Cursors {
    pub(super) fn new(
        values: BTreeMap<String, u64>,
        changed: BTreeSet<String>,
        next_seq: Seq,
    ) -> Self {
        Self {
            committed: values.clone(),
            values,
            changed,
            committed_seq: next_seq,
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<u64> {
        self.values.get(name).copied()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.values
            .iter()
            .map(|(name, value)| (name.as_str(), *value))
    }

    pub(super) fn set(&mut self, name: &str, value: u64) {
        match self.values.get_mut(name) {
            Some(known) if *known == value => return,
            Some(known) => *known = value,
            None => {
                self.values.insert(name.to_owned(), value);
            }
        }
        if !self.changed.contains(name) {
            self.changed.insert(name.to_owned());
        }
    }

    pub(super) fn has_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// The cursors that the next commit stores.
    pub(super) fn changed(&self) -> impl Iterator<Item = (&str, u64)> {
        debug_assert!(
            self.changed
                .iter()
                .all(|name| self.values.contains_key(name))
        );
        let pairs = self.changed.iter();
        pairs.filter_map(|name| Some((name.as_str(), self.get(name)?)))
    }

    /// Notes that all of them are stored, with all events before a position.
    pub(super) fn committed(&mut self, next_seq: Seq) {
        for name in std::mem::take(&mut self.changed) {
            let Some(value) = self.values.get(&name).copied() else {
                continue;
            };
            match self.committed.get_mut(&name) {
                Some(known) => *known = value,
                None => drop(self.committed.insert(name, value)),
            }
        }
        self.committed_seq = next_seq;
    }

    /// The cursors that are true as soon as all events before a position are stored: they are kept
    /// with the block that ends there. The state may be lost and blocks not, or the other way round,
    /// and then these say what the upstreams are to be asked for.
    ///
    /// `next_seq` is the end of what the next commit stores.
    pub(super) fn at(&self, seq: Seq, next_seq: Seq) -> Option<Bytes> {
        let (seq, cursors) = if seq == next_seq {
            (seq, &self.values)
        } else if seq >= self.committed_seq {
            // The block ends within the commit, whose cursors may be ahead of it.
            (self.committed_seq, &self.committed)
        } else {
            return None;
        };
        let is_some = !cursors.is_empty() && cursors.len() <= MAX_KEPT;
        is_some.then(|| state::encode_cursors(seq, cursors))
    }
}

/// If there are more cursors, they are not kept with each block.
const MAX_KEPT: usize = 64;
