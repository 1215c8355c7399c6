use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use jetwash_event::Micros;

/// The operations that came last from Jetstreams that are followed at once.
///
/// The newest revision of an account tells repeats apart while every source sends everything. Where
/// one has left something out, and another that is behind still brings it, the revision is older
/// than the newest, and only a memory of what came says that it is news.
#[derive(Debug)]
pub(crate) struct LateOps {
    came: VecDeque<Came>,
    ops: HashSet<u64>,
    /// The newest revision of each record.
    records: HashMap<u64, u64>,
    /// Nothing from before this time is remembered; `None` if all of the log is.
    since: Option<Micros>,
    capacity: usize,
    hasher: RandomState,
}

/// An operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LateOp<'a> {
    pub(crate) did: &'a str,
    /// The collection and the key.
    pub(crate) path: &'a str,
    pub(crate) rev: u64,
    /// Tells it from the others of its revision.
    pub(crate) digest: u64,
}

#[derive(Debug)]
struct Came {
    op: u64,
    record: u64,
    rev: u64,
    at: Micros,
}

impl LateOps {
    /// Remembers up to `capacity` operations. `since` is when this begins, `None` with an empty log.
    pub(crate) fn new(capacity: usize, since: Option<Micros>) -> Self {
        Self {
            came: VecDeque::new(),
            ops: HashSet::new(),
            records: HashMap::new(),
            since,
            capacity,
            hasher: RandomState::new(),
        }
    }

    /// Notes an operation that is in the log from now on.
    pub(crate) fn note(&mut self, op: LateOp<'_>, now: Micros) {
        let (key, record) = (self.key(&op), self.record(&op));
        if !self.ops.insert(key) {
            return;
        }
        let newest = self.records.entry(record).or_default();
        *newest = (*newest).max(op.rev);
        self.came.push_back(Came {
            op: key,
            record,
            rev: op.rev,
            at: now,
        });
        if self.came.len() > self.capacity
            && let Some(oldest) = self.came.pop_front()
        {
            self.ops.remove(&oldest.op);
            if self.records.get(&oldest.record) == Some(&oldest.rev) {
                self.records.remove(&oldest.record);
            }
            self.since = self.since.max(Some(oldest.at));
        }
    }

    /// Whether an operation of an older revision is news: it was made at `made`, which is
    /// remembered, did not come, and its record has not been changed since.
    pub(crate) fn is_news(&self, op: LateOp<'_>, made: Micros) -> bool {
        let is_remembered = self
            .since
            .is_none_or(|since| made >= since.plus(CLOCKS_APART));
        let newest = self.records.get(&self.record(&op));
        is_remembered
            && !self.ops.contains(&self.key(&op))
            && newest.is_none_or(|&newest| newest < op.rev)
    }

    fn key(&self, op: &LateOp<'_>) -> u64 {
        self.hasher.hash_one((op.did, op.rev, op.digest))
    }

    fn record(&self, op: &LateOp<'_>) -> u64 {
        self.hasher.hash_one((op.did, op.path))
    }
}

/// How far the clocks of hosts and accounts may be ahead of the one here.
const CLOCKS_APART: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    const fn op(rev: u64, path: &str) -> LateOp<'_> {
        LateOp {
            did: "did:web:a.example",
            path,
            rev,
            digest: 7,
        }
    }

    const fn at(seconds: u64) -> Micros {
        Micros::new(seconds * 1_000_000)
    }

    #[test]
    fn what_came_is_no_news_and_what_did_not_is_unless_its_record_has_changed() {
        let mut late = LateOps::new(10, None);
        late.note(op(3, "a.b.c/a"), at(3));
        assert!(!late.is_news(op(3, "a.b.c/a"), at(3)), "it came");
        assert!(
            !late.is_news(op(2, "a.b.c/a"), at(2)),
            "it was changed since"
        );
        assert!(late.is_news(op(2, "a.b.c/b"), at(2)));
        late.note(op(2, "a.b.c/b"), at(4));
        assert!(!late.is_news(op(2, "a.b.c/b"), at(2)));
    }

    #[test]
    fn what_may_have_come_before_all_that_is_remembered_is_no_news() {
        let mut late = LateOps::new(2, Some(at(100)));
        assert!(!late.is_news(op(1, "a.b.c/a"), at(159)));
        assert!(late.is_news(op(1, "a.b.c/a"), at(160)));
        for second in 200..204 {
            late.note(op(second, "a.b.c/a"), at(second));
        }
        assert_eq!((late.ops.len(), late.records.len()), (2, 1));
        assert!(
            !late.is_news(op(200, "a.b.c/a"), at(200)),
            "it is forgotten"
        );
        assert!(late.is_news(op(9, "a.b.c/b"), at(261)));
        assert!(!late.is_news(op(9, "a.b.c/b"), at(260)));
    }

    #[test]
    fn no_more_records_are_remembered_than_operations() {
        let paths: Vec<String> = (0..100).map(|number| format!("a.b.c/{number}")).collect();
        let mut late = LateOps::new(2, None);
        for (rev, path) in (1..).zip(&paths) {
            late.note(op(rev, path), at(rev));
        }
        assert_eq!((late.ops.len(), late.records.len()), (2, 2));
    }
}
