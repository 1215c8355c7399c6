use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::draft::{LabelDraft, Times};
use crate::micros::Micros;

/// A label in force.
///
/// # Examples
///
/// ```
/// use jetwash_event::{ActiveLabel, Micros};
///
/// fn is_older_than(label: &ActiveLabel, time: Micros) -> bool {
///     label.cts < time
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ActiveLabel {
    /// The DID of the labeler.
    pub src: Arc<str>,
    /// The value.
    pub val: Arc<str>,
    /// The version of the record that it is about; `None` for all versions.
    pub cid: Option<Arc<str>>,
    /// When it was made.
    pub cts: Micros,
    /// When it ceases to apply.
    pub exp: Option<Micros>,
}

/// Counts of the labels in a [`Labels`](crate::Labels) and of those that have gone.
///
/// # Examples
///
/// ```
/// use jetwash_event::Labels;
///
/// let counts = Labels::new(10).counts();
/// assert_eq!((counts.active, counts.spent, counts.limit), (0, 0, 10));
/// assert_eq!(counts.dropped, 0, "nothing was forgotten for want of room");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LabelCounts {
    /// Labels in force.
    pub active: usize,
    /// Negations and expired labels that are remembered.
    pub spent: usize,
    /// How many of both together there may be.
    pub limit: usize,
    /// Labels in force that were forgotten for want of room.
    pub dropped: u64,
    /// Negations and expired labels that were forgotten for want of room.
    pub dropped_spent: u64,
    /// Labels and negations that changed nothing, because a later one was there.
    pub stale: u64,
    /// Labels that have expired.
    pub expired: u64,
}

/// Labels by their subjects.
pub(super) struct Table {
    subjects: HashMap<Arc<str>, Vec<Entry>, RandomState>,
    /// Labelers and values, each text once.
    names: HashSet<Arc<str>, RandomState>,
    /// The subjects of labels in force, and of those that are not, by the order in which they came.
    active: BTreeMap<u64, Arc<str>>,
    spent: BTreeMap<u64, Arc<str>>,
    /// Which of those in force expire, and when.
    expiring: BTreeSet<(Micros, u64)>,
    next_order: u64,
    changes: u64,
    counts: LabelCounts,
}

/// The latest label of a labeler, a subject and a value.
struct Entry {
    /// Its place in the order in which labels came.
    order: u64,
    is_active: bool,
    label: ActiveLabel,
}

impl Entry {
    /// Whether it is of the labeler, subject and value of a label. It is among those of the subject.
    fn is_of(&self, draft: &LabelDraft<'_>) -> bool {
        *self.label.src == *draft.src && *self.label.val == *draft.val
    }
}

impl Table {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            subjects: HashMap::default(),
            names: HashSet::default(),
            active: BTreeMap::new(),
            spent: BTreeMap::new(),
            expiring: BTreeSet::new(),
            next_order: 0,
            changes: 0,
            counts: LabelCounts {
                limit: limit.max(1),
                ..LabelCounts::default()
            },
        }
    }

    /// Takes in a label. Returns whether it is the latest of its labeler, subject and value.
    pub(super) fn apply(&mut self, draft: &LabelDraft<'_>, times: Times, now: Micros) -> bool {
        let entries = self.subjects.get(draft.uri).map_or(&[][..], Vec::as_slice);
        if let Some(before) = entries.iter().find(|entry| entry.is_of(draft)) {
            if times.cts < before.label.cts {
                self.counts.stale += 1;
                return false;
            }
            let order = before.order;
            self.remove(draft.uri, order);
        } else if entries.len() >= MAX_PER_SUBJECT {
            // Each label is looked for among all of its subject, so these must not become many.
            let first = entries
                .iter()
                .min_by_key(|entry| (entry.is_active, entry.order));
            if let Some(order) = first.map(|entry| entry.order) {
                self.drop_for_room(draft.uri, order);
            }
        }
        self.insert(draft, times, now);
        while self.active.len() + self.spent.len() > self.counts.limit {
            let mut oldest_first = self.spent.iter().chain(&self.active);
            let oldest = oldest_first.next();
            let Some((&order, subject)) = oldest else {
                break;
            };
            let subject = Arc::clone(subject);
            self.drop_for_room(&subject, order);
        }
        debug_assert!(
            self.expiring.len() <= self.active.len(),
            "a label that has gone is still waited for"
        );
        true
    }

    /// Whether the latest label of the same labeler, subject and value was made at `cts` or later.
    pub(super) fn has_since(&self, draft: &LabelDraft<'_>, cts: Micros) -> bool {
        let entries = self.subjects.get(draft.uri).into_iter().flatten();
        let mut latest = entries.filter(|entry| entry.is_of(draft));
        latest.any(|entry| entry.label.cts >= cts)
    }

    /// Whether a label in force has expired by `now`.
    pub(super) fn expires(&self, now: Micros) -> bool {
        self.expiring.first().is_some_and(|(exp, _)| *exp <= now)
    }

    /// Takes out of force up to [`EXPIRED_AT_ONCE`] labels that have expired by `now`.
    pub(super) fn advance(&mut self, now: Micros) {
        for _ in 0..EXPIRED_AT_ONCE {
            let Some(&(exp, order)) = self.expiring.first() else {
                return;
            };
            if exp > now {
                return;
            }
            self.expiring.pop_first();
            self.expire(order);
        }
    }

    pub(super) fn forget(&mut self, src: &str) -> usize {
        let mut found = Vec::new();
        for (subject, entries) in &self.subjects {
            let of_src = entries.iter().filter(|entry| *entry.label.src == *src);
            found.extend(of_src.map(|entry| (Arc::clone(subject), entry.order, entry.is_active)));
        }
        for (subject, order, _) in &found {
            self.remove(subject, *order);
        }
        found.iter().filter(|(.., is_active)| *is_active).count()
    }

    pub(super) fn active_of(&self, subject: &str) -> impl Iterator<Item = &ActiveLabel> {
        let entries = self.subjects.get(subject).into_iter().flatten();
        entries
            .filter(|entry| entry.is_active)
            .map(|entry| &entry.label)
    }

    pub(super) fn active(&self) -> usize {
        self.active.len()
    }

    /// How often a label came into force or ceased to be.
    pub(super) const fn changes(&self) -> u64 {
        self.changes
    }

    pub(super) fn counts(&self) -> LabelCounts {
        LabelCounts {
            active: self.active.len(),
            spent: self.spent.len(),
            ..self.counts
        }
    }

    fn insert(&mut self, draft: &LabelDraft<'_>, times: Times, now: Micros) {
        let order = self.next_order;
        self.next_order += 1;
        let has_expired = times.exp.is_some_and(|exp| exp <= now);
        let is_active = !draft.neg && !has_expired;
        let label = ActiveLabel {
            src: self.name(draft.src),
            val: self.name(draft.val),
            cid: draft.cid.map(Arc::from),
            cts: times.cts,
            exp: times.exp,
        };
        let known = self.subjects.get_key_value(draft.uri);
        let subject = known.map_or_else(|| draft.uri.into(), |(subject, _)| Arc::clone(subject));
        let list = if is_active {
            &mut self.active
        } else {
            &mut self.spent
        };
        list.insert(order, Arc::clone(&subject));
        if is_active {
            self.changes += 1;
            self.expiring.extend(times.exp.map(|exp| (exp, order)));
        }
        let entry = Entry {
            order,
            is_active,
            label,
        };
        self.subjects.entry(subject).or_default().push(entry);
    }

    /// Removes an entry, and its subject with the last one.
    fn remove(&mut self, subject: &str, order: u64) {
        let Some(entries) = self.subjects.get_mut(subject) else {
            return;
        };
        let Some(index) = entries.iter().position(|entry| entry.order == order) else {
            return;
        };
        let Entry {
            is_active, label, ..
        } = entries.remove(index);
        if entries.is_empty() {
            self.subjects.remove(subject);
        }
        if is_active {
            self.changes += 1;
            self.active.remove(&order);
            if let Some(exp) = label.exp {
                self.expiring.remove(&(exp, order));
            }
        } else {
            self.spent.remove(&order);
        }
        let ActiveLabel { src, val, .. } = label;
        self.release(src);
        self.release(val);
    }

    fn drop_for_room(&mut self, subject: &str, order: u64) {
        if self.active.contains_key(&order) {
            self.counts.dropped += 1;
        } else {
            self.counts.dropped_spent += 1;
        }
        self.remove(subject, order);
    }

    fn expire(&mut self, order: u64) {
        let Some(subject) = self.active.remove(&order) else {
            return;
        };
        let entries = self.subjects.get_mut(&subject).into_iter().flatten();
        for entry in entries.filter(|entry| entry.order == order) {
            entry.is_active = false;
        }
        self.spent.insert(order, subject);
        self.changes += 1;
        self.counts.expired += 1;
    }

    fn name(&mut self, text: &str) -> Arc<str> {
        if let Some(name) = self.names.get(text) {
            return Arc::clone(name);
        }
        // A text that was still held elsewhere when its last label went was left here.
        if self.names.len() > 2 * (self.active.len() + self.spent.len()) + SPARE_NAMES {
            self.names.retain(|name| Arc::strong_count(name) > 1);
        }
        let name: Arc<str> = text.into();
        self.names.insert(Arc::clone(&name));
        name
    }

    /// Forgets a text that no label has any more.
    fn release(&mut self, name: Arc<str>) {
        // One count is here and one in the set.
        if Arc::strong_count(&name) <= 2 {
            self.names.remove(&name);
        }
    }
}

/// How many labels a subject has at most.
pub(super) const MAX_PER_SUBJECT: usize = 256;
/// How many labels expire while the others cannot be asked for: all may have the same end.
const EXPIRED_AT_ONCE: usize = 1_000;
/// How many texts may be there that no label has.
const SPARE_NAMES: usize = 64;
