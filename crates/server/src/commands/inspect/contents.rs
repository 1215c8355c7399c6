use std::collections::HashMap;

use jetwash::GapCause;
use jetwash::store::{EventKind, Read, Run, Seq, Store, StoreError};

use crate::progress;

/// Counts of a log's events, by its indexes: no event is read.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) events: u64,
    pub(super) json_bytes: u64,
    /// By kind, in the order of the kinds.
    pub(super) kinds: [u64; KINDS.len()],
    collections: HashMap<Box<str>, u64>,
    /// Events of collections that came when [`MAX_NAMES`] were known.
    pub(super) uncounted: u64,
    /// Positions without an event, by the cause.
    pub(super) lost: HashMap<&'static str, u64>,
}

impl Contents {
    pub(super) fn of(store: &Store) -> Result<Self, StoreError> {
        let mut contents = Self::default();
        let bounds = store.bounds();
        let bar = progress::bar(bounds.next_seq.since(bounds.oldest_seq));
        let mut at = bounds.oldest_seq;
        loop {
            let next = match store.read(at) {
                Ok(Read::Events(run)) => {
                    contents.add(&run);
                    run.next_seq()
                }
                Ok(Read::Gap(gap)) => contents.lose(gap.cause, at, gap.next_seq),
                Err(StoreError::Corrupt { next_seq, .. }) => {
                    contents.lose(GapCause::Damaged, at, next_seq)
                }
                Ok(_) => break,
                Err(error) => return Err(error),
            };
            // The end of a log that has lost its end.
            if next <= at {
                break;
            }
            at = next;
            if let Some(bar) = &bar {
                bar.set_position(at.since(bounds.oldest_seq));
            }
        }
        if let Some(bar) = &bar {
            bar.finish_and_clear();
        }
        Ok(contents)
    }

    /// Whether there is an event that cannot be read.
    pub(super) fn is_sound(&self) -> bool {
        !self.lost.contains_key(GapCause::Damaged.name())
    }

    /// The collections with the most events, and how many events the others have.
    pub(super) fn top(&self, count: usize) -> (Vec<(&str, u64)>, u64) {
        let named = self.collections.iter();
        let mut all: Vec<_> = named.map(|(name, count)| (&**name, *count)).collect();
        all.sort_unstable_by(|one, two| two.1.cmp(&one.1).then(one.0.cmp(two.0)));
        let rest = all.iter().skip(count).map(|(_, count)| count);
        let others = rest.sum::<u64>() + self.uncounted;
        all.truncate(count);
        (all, others)
    }

    fn add(&mut self, run: &Run) {
        let block = run.block();
        for index in run.indexes() {
            let Some(meta) = block.meta(index) else {
                continue;
            };
            self.events += 1;
            self.json_bytes += meta.json_len as u64;
            let kind = KINDS.iter().position(|(kind, _)| *kind == meta.kind);
            if let Some(count) = kind.and_then(|kind| self.kinds.get_mut(kind)) {
                *count += 1;
            }
            if meta.collection.is_empty() {
                continue;
            }
            let is_full = self.collections.len() >= MAX_NAMES;
            match self.collections.get_mut(meta.collection) {
                Some(count) => *count += 1,
                None if is_full => self.uncounted += 1,
                None => drop(self.collections.insert(meta.collection.into(), 1)),
            }
        }
    }

    fn lose(&mut self, cause: GapCause, at: Seq, next: Seq) -> Seq {
        let count = self.lost.entry(cause.name()).or_default();
        *count += next.since(at);
        next
    }
}

/// The kinds of events, with their names.
pub(super) const KINDS: [(EventKind, &str); 7] = [
    (EventKind::Create, "create"),
    (EventKind::Update, "update"),
    (EventKind::Delete, "delete"),
    (EventKind::Identity, "identity"),
    (EventKind::Account, "account"),
    (EventKind::Sync, "sync"),
    (EventKind::Label, "label"),
];

/// Anybody can make up collections.
const MAX_NAMES: usize = 100_000;
