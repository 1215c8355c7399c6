//! The labels that labelers have given to accounts and records, in memory.
//!
//! - `draft`: a label as a labeler sends it, and its mistakes.
//! - `event`: a label as an event of a log.
//! - `table`: what is in force, by subject, and what is forgotten first.
//! - `rule`: a filter's question.

mod draft;
mod event;
mod rule;
mod table;

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

pub use self::draft::{LabelDraft, LabelError};
pub use self::event::{LabelEvent, write_label};
pub(crate) use self::rule::LabelRule;
use self::table::Table;
pub use self::table::{ActiveLabel, LabelCounts};
use crate::micros::Micros;

/// The labels in force on accounts, records and other subjects, shared between the code that learns
/// of labels and the code that asks for them.
///
/// For each labeler, subject and value the label with the latest `cts` counts; of two with the same
/// `cts`, the one that came last. A negation takes its label away, and so does the moment in `exp`.
/// Source: the label specification of AT Protocol.
///
/// The index holds up to [`limit`](Self::new) labels, and remembers negations within the same
/// number, so that an older label that comes late stays away. When it is full, what was negated or has
/// expired is forgotten first, then the label that came earliest; both are [counted](Self::counts).
/// One subject has up to [`MAX_PER_SUBJECT`](Self::MAX_PER_SUBJECT) labels. A label takes
/// about 600 bytes of memory, and some 2 KB if all its texts are as long as they may be.
///
/// A clone is the same index. Signatures and the labels that records give themselves are not looked
/// at.
///
/// # Examples
///
/// ```
/// use jetwash_event::{LabelDraft, Labels};
///
/// let labels = Labels::new(100_000);
/// let spam = LabelDraft {
///     src: "did:web:labeler.example",
///     uri: "did:web:a.example",
///     val: "spam",
///     cts: "2026-07-04T14:38:07.517Z",
///     ..LabelDraft::default()
/// };
/// labels.apply(&spam)?;
/// assert!(labels.has("did:web:a.example", "spam"));
///
/// labels.apply(&LabelDraft { neg: true, cts: "2026-07-05T00:00:00Z", ..spam })?;
/// assert!(!labels.has("did:web:a.example", "spam"));
/// # Ok::<(), jetwash_event::LabelError>(())
/// ```
#[derive(Clone)]
pub struct Labels {
    shared: Arc<Shared>,
}

struct Shared {
    table: RwLock<Table>,
    /// How many labels are in force. Without any, an answer needs no lock.
    active: AtomicUsize,
    version: AtomicU64,
    /// The latest time that was said, in microseconds.
    now: AtomicU64,
}

impl Labels {
    /// How many labels an index holds by [default](Self::default): 1,000,000.
    pub const DEFAULT_LIMIT: usize = 1_000_000;
    /// How many labels a subject has at most, negations included.
    pub const MAX_PER_SUBJECT: usize = table::MAX_PER_SUBJECT;

    /// Makes an empty index that holds up to `limit` labels, at least one.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            shared: Arc::new(Shared {
                table: RwLock::new(Table::new(limit)),
                active: AtomicUsize::new(0),
                version: AtomicU64::new(0),
                now: AtomicU64::new(0),
            }),
        }
    }

    /// Takes in a label or a negation. Returns whether it is the latest of its labeler, subject and
    /// value; an older one changes nothing.
    ///
    /// # Errors
    ///
    /// When a field is too long or not what it should be; the index is then as before.
    pub fn apply(&self, label: &LabelDraft<'_>) -> Result<bool, LabelError> {
        let times = label.times()?;
        let now = Micros::new(self.shared.now.load(Ordering::Acquire));
        Ok(self.change(|table| table.apply(label, times, now)))
    }

    /// Whether a label or a negation of the same labeler, subject and value is here that was made at the
    /// same time or later, so that this one says nothing new. A label with a mistake says nothing either.
    ///
    /// # Examples
    ///
    /// ```
    /// use jetwash_event::{LabelDraft, Labels};
    ///
    /// let labels = Labels::default();
    /// let spam = LabelDraft {
    ///     src: "did:web:labeler.example",
    ///     uri: "did:web:a.example",
    ///     val: "spam",
    ///     cts: "2026-07-04T14:38:07.517Z",
    ///     ..LabelDraft::default()
    /// };
    /// assert!(!labels.knows(&spam));
    /// labels.apply(&spam)?;
    /// assert!(labels.knows(&spam));
    /// assert!(!labels.knows(&LabelDraft { cts: "2026-07-05T00:00:00Z", ..spam }));
    /// # Ok::<(), jetwash_event::LabelError>(())
    /// ```
    #[must_use]
    pub fn knows(&self, label: &LabelDraft<'_>) -> bool {
        label
            .times()
            .is_ok_and(|times| self.read().has_since(label, times.cts))
    }

    /// Says what time it is: labels whose `exp` has come are no longer in force.
    ///
    /// The index has no clock of its own. Time does not go back: an earlier one changes nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use jetwash_event::{LabelDraft, Labels, Micros};
    ///
    /// let labels = Labels::default();
    /// labels.apply(&LabelDraft {
    ///     src: "did:web:labeler.example",
    ///     uri: "did:web:a.example",
    ///     val: "muted",
    ///     cts: "1970-01-01T00:00:01Z",
    ///     exp: Some("1970-01-01T00:00:03Z"),
    ///     ..LabelDraft::default()
    /// })?;
    /// labels.advance(Micros::new(2_999_999));
    /// assert!(labels.has("did:web:a.example", "muted"));
    /// labels.advance(Micros::new(3_000_000));
    /// assert!(!labels.has("did:web:a.example", "muted"));
    /// # Ok::<(), jetwash_event::LabelError>(())
    /// ```
    pub fn advance(&self, now: Micros) {
        let before = self.shared.now.fetch_max(now.get(), Ordering::AcqRel);
        let now = now.max(Micros::new(before));
        // Nearly always nothing expires, and then those that ask do not have to wait.
        while self.read().expires(now) {
            self.change(|table| table.advance(now));
        }
    }

    /// Forgets all labels and negations of a labeler, one that is not followed any more for example.
    /// Returns how many labels were in force.
    pub fn forget(&self, src: &str) -> usize {
        self.change(|table| table.forget(src))
    }

    /// Whether any labeler has given this value to a subject: the DID of an account or the URI of a
    /// record, exactly as labels have it. A label on an account is not one on its records.
    #[inline]
    #[must_use]
    pub fn has(&self, subject: &str, val: &str) -> bool {
        self.has_any(subject, |label| &*label.val == val)
    }

    /// Whether this labeler has given this value to a subject.
    #[must_use]
    pub fn has_from(&self, src: &str, subject: &str, val: &str) -> bool {
        self.has_any(subject, |label| *label.src == *src && *label.val == *val)
    }

    /// Whether a subject has a label for which `predicate` says `true`. It is asked while the index is
    /// locked, so it must not change it.
    ///
    /// # Examples
    ///
    /// ```
    /// use jetwash_event::Labels;
    ///
    /// let labels = Labels::default();
    /// // Values with an exclamation mark are those that every client obeys.
    /// let is_global = |did| labels.has_any(did, |label| label.val.starts_with('!'));
    /// assert!(!is_global("did:web:a.example"));
    /// ```
    #[inline]
    #[must_use]
    pub fn has_any(&self, subject: &str, predicate: impl FnMut(&ActiveLabel) -> bool) -> bool {
        !self.is_empty() && self.read().active_of(subject).any(predicate)
    }

    /// The labels that a subject has, in the order in which they came. A clone copies no text.
    ///
    /// # Examples
    ///
    /// ```
    /// use jetwash_event::{LabelDraft, Labels};
    ///
    /// let labels = Labels::default();
    /// labels.apply(&LabelDraft {
    ///     src: "did:web:labeler.example",
    ///     uri: "at://did:web:a.example/app.bsky.feed.post/3l3qo2vuowo2b",
    ///     val: "rude",
    ///     cts: "2026-07-04T14:38:07.517Z",
    ///     ..LabelDraft::default()
    /// })?;
    /// let of = labels.of("at://did:web:a.example/app.bsky.feed.post/3l3qo2vuowo2b");
    /// assert_eq!((&*of[0].src, &*of[0].val), ("did:web:labeler.example", "rude"));
    /// assert!(labels.of("did:web:a.example").is_empty());
    /// # Ok::<(), jetwash_event::LabelError>(())
    /// ```
    #[must_use]
    pub fn of(&self, subject: &str) -> Vec<ActiveLabel> {
        self.read().active_of(subject).cloned().collect()
    }

    /// How many labels are in force.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.active.load(Ordering::Acquire)
    }

    /// Whether no label is in force.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A number that grows whenever a label comes into force or ceases to be.
    #[inline]
    #[must_use]
    pub fn version(&self) -> u64 {
        self.shared.version.load(Ordering::Acquire)
    }

    /// Counts of what is there and of what was forgotten.
    #[must_use]
    pub fn counts(&self) -> LabelCounts {
        self.read().counts()
    }

    /// Makes a change, and tells those that look without a lock.
    fn change<T>(&self, change: impl FnOnce(&mut Table) -> T) -> T {
        let mut table = self.write();
        let before = table.changes();
        let outcome = change(&mut table);
        let shared = &*self.shared;
        shared.active.store(table.active(), Ordering::Release);
        shared
            .version
            .fetch_add(table.changes() - before, Ordering::Release);
        outcome
    }

    fn read(&self) -> RwLockReadGuard<'_, Table> {
        let table = self.shared.table.read();
        table.unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        let table = self.shared.table.write();
        table.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Labels {
    fn default() -> Self {
        Self::new(Self::DEFAULT_LIMIT)
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Labels")
            .field("len", &self.len())
            .field("version", &self.version())
            .finish_non_exhaustive()
    }
}
