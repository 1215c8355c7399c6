use std::collections::HashSet;
use std::fmt;

use foldhash::fast::RandomState;

use crate::did_set::DidSet;
use crate::filter_error::FilterError;
use crate::kind::Kind;
use crate::labels::{LabelRule, Labels};
use crate::syntax::{Did, Nsid, check_domain_segment};

/// The events that a reader wants: a rule each for collections, accounts and kinds, and as many as are
/// given for labels of accounts.
///
/// An event must pass all of them. A rule that names nothing passes everything. Events without a
/// collection, those of all kinds but commits, pass the rule for collections whatever it says,
/// but not the other two. Source: the query parameters of Jetstream, `wantedCollections` and
/// `wantedDids`.
///
/// # Examples
///
/// ```
/// use jetwash_event::{Filter, Kind};
///
/// let filter = Filter::new()
///     .collections(["app.bsky.feed.post", "app.bsky.graph.*"])?
///     .kinds([Kind::Commit]);
/// assert!(filter.matches(Kind::Commit, "did:web:a.example", Some("app.bsky.graph.follow")));
/// assert!(!filter.matches(Kind::Commit, "did:web:a.example", Some("app.bsky.feed.like")));
///
/// let error = Filter::new().collections(["app..bsky.*"]).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "`app..bsky.*` is not the start of a collection: an empty segment",
/// );
/// # Ok::<(), jetwash_event::FilterError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Filter {
    collections: HashSet<Nsid, RandomState>,
    /// Without the asterisk, with the dot before it.
    prefixes: Vec<Box<str>>,
    dids: HashSet<Did, RandomState>,
    sets: Vec<DidSet>,
    kinds: Kinds,
    labels: Vec<LabelRule>,
}

impl Filter {
    /// Makes a filter that lets everything pass.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Also lets these collections pass: each an NSID, or the start of some, ended by `.*`.
    ///
    /// # Errors
    ///
    /// When a value is neither.
    pub fn collections<T: AsRef<str>>(
        mut self,
        patterns: impl IntoIterator<Item = T>,
    ) -> Result<Self, FilterError> {
        for pattern in patterns {
            self.add_collection(pattern.as_ref())?;
        }
        Ok(self)
    }

    /// Also lets these accounts pass.
    ///
    /// # Errors
    ///
    /// When a value is not a DID.
    pub fn dids<T: AsRef<str>>(
        mut self,
        dids: impl IntoIterator<Item = T>,
    ) -> Result<Self, FilterError> {
        for did in dids {
            let did = did.as_ref();
            let parsed = did.parse().map_err(|error| FilterError::did(did, error))?;
            self.dids.insert(parsed);
        }
        Ok(self)
    }

    /// Also lets the accounts pass that are in a set when an event is matched. Unlike a rule that
    /// names nothing, an empty set lets nothing pass.
    #[must_use]
    pub fn did_set(mut self, set: DidSet) -> Self {
        self.sets.push(set);
        self
    }

    /// Also lets these kinds pass.
    #[must_use]
    pub fn kinds(mut self, kinds: impl IntoIterator<Item = Kind>) -> Self {
        for kind in kinds {
            self.kinds.insert(kind);
        }
        self
    }

    /// Wants only accounts that have a label of one of these values when an event is matched; without
    /// values, accounts that have any label. Given several times, an account must pass each.
    ///
    /// # Examples
    ///
    /// ```
    /// use jetwash_event::{Filter, LabelDraft, Labels};
    ///
    /// let labels = Labels::default();
    /// let filter = Filter::new().labelled(labels.clone(), ["bot", "spam"]);
    /// assert!(!filter.matches_did("did:web:a.example"));
    /// labels.apply(&LabelDraft {
    ///     src: "did:web:labeler.example",
    ///     uri: "did:web:a.example",
    ///     val: "bot",
    ///     cts: "2026-07-04T14:38:07.517Z",
    ///     ..LabelDraft::default()
    /// })?;
    /// assert!(filter.matches_did("did:web:a.example"));
    /// # Ok::<(), jetwash_event::LabelError>(())
    /// ```
    #[must_use]
    pub fn labelled<T: AsRef<str>>(
        mut self,
        labels: Labels,
        vals: impl IntoIterator<Item = T>,
    ) -> Self {
        self.labels.push(LabelRule::new(labels, vals, true));
        self
    }

    /// Leaves out accounts that have a label of one of these values when an event is matched; without
    /// values, accounts that have any label.
    ///
    /// Labels on single records are not looked at. They come after the record, so they can only be
    /// asked for later: see [`Labels::has`].
    ///
    /// # Examples
    ///
    /// ```
    /// use jetwash_event::{Filter, Labels};
    ///
    /// let labels = Labels::default();
    /// let filter = Filter::new().not_labelled(labels.clone(), ["spam", "!hide"]);
    /// assert!(filter.matches_did("did:web:a.example"), "nothing is known of it");
    /// assert!(!filter.is_empty());
    /// ```
    #[must_use]
    pub fn not_labelled<T: AsRef<str>>(
        mut self,
        labels: Labels,
        vals: impl IntoIterator<Item = T>,
    ) -> Self {
        self.labels.push(LabelRule::new(labels, vals, false));
        self
    }

    /// Whether an event passes. `collection` is `None` for events without a collection.
    #[inline]
    #[must_use]
    pub fn matches(&self, kind: Kind, did: &str, collection: Option<&str>) -> bool {
        self.matches_kind(kind)
            && collection.is_none_or(|collection| self.matches_collection(collection))
            && self.matches_did(did)
    }

    /// Whether an event of this kind can pass.
    #[inline]
    #[must_use]
    pub const fn matches_kind(&self, kind: Kind) -> bool {
        self.kinds.contains(kind)
    }

    /// Whether an event in this collection can pass.
    #[inline]
    #[must_use]
    pub fn matches_collection(&self, collection: &str) -> bool {
        !self.has_collections()
            || self.collections.contains(collection)
            || self
                .prefixes
                .iter()
                .any(|prefix| collection.starts_with(&**prefix))
    }

    /// Whether an event of this account can pass.
    #[inline]
    #[must_use]
    pub fn matches_did(&self, did: &str) -> bool {
        let is_named = !self.has_dids()
            || self.sets.iter().any(|set| set.contains(did))
            || self.dids.contains(did);
        is_named && self.labels.iter().all(|rule| rule.passes(did))
    }

    /// Whether the filter lets everything pass.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.has_collections() && !self.judges_dids() && self.kinds.is_empty()
    }

    /// Whether it names collections.
    #[must_use]
    pub fn has_collections(&self) -> bool {
        !self.collections.is_empty() || !self.prefixes.is_empty()
    }

    /// Whether it names accounts or has a set of them.
    #[inline]
    #[must_use]
    pub fn has_dids(&self) -> bool {
        !self.dids.is_empty() || !self.sets.is_empty()
    }

    /// Whether events are judged by their account: by its name, by sets, or by its labels.
    #[inline]
    #[must_use]
    pub fn judges_dids(&self) -> bool {
        self.has_dids() || !self.labels.is_empty()
    }

    /// How many collections it names: each NSID once, and every start of some as often as it was
    /// given.
    #[must_use]
    pub fn collection_count(&self) -> usize {
        self.collections.len() + self.prefixes.len()
    }

    /// The collections it names, in no order: each an NSID, or the start of some, ended by `.*`.
    ///
    /// # Examples
    ///
    /// ```
    /// use jetwash_event::Filter;
    ///
    /// let filter = Filter::new().collections(["app.bsky.graph.*"])?;
    /// assert_eq!(filter.named_collections().collect::<Vec<_>>(), ["app.bsky.graph.*"]);
    /// # Ok::<(), jetwash_event::FilterError>(())
    /// ```
    pub fn named_collections(&self) -> impl Iterator<Item = String> {
        let whole = self.collections.iter().map(Nsid::to_string);
        whole.chain(self.prefixes.iter().map(|prefix| format!("{prefix}*")))
    }

    /// How many accounts it names itself, not counting those in its sets.
    #[must_use]
    pub fn did_count(&self) -> usize {
        self.dids.len()
    }

    /// The accounts it names itself, in no order.
    pub fn named_dids(&self) -> impl Iterator<Item = &Did> {
        self.dids.iter()
    }

    /// The sets of accounts it has.
    #[must_use]
    pub fn did_sets(&self) -> &[DidSet] {
        &self.sets
    }

    /// A number that grows whenever one of its sets or the labels that it asks change: an event may
    /// match differently now.
    #[inline]
    #[must_use]
    pub fn version(&self) -> u64 {
        let sets = self.sets.iter().map(DidSet::version);
        sets.chain(self.labels.iter().map(LabelRule::version)).sum()
    }

    fn add_collection(&mut self, pattern: &str) -> Result<(), FilterError> {
        if let Some(start) = pattern.strip_suffix(".*") {
            check_start(start).map_err(|rule| FilterError::prefix(pattern, rule))?;
            self.prefixes.push(pattern[..=start.len()].into());
        } else {
            let nsid = pattern.parse();
            let nsid = nsid.map_err(|error| FilterError::collection(pattern, error))?;
            self.collections.insert(nsid);
        }
        Ok(())
    }
}

/// A choice of kinds; an empty one stands for all.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Kinds(u8);

impl Kinds {
    const fn insert(&mut self, kind: Kind) {
        self.0 |= 1 << kind as u8;
    }

    const fn contains(self, kind: Kind) -> bool {
        self.is_empty() || self.0 & (1 << kind as u8) != 0
    }

    const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Debug for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = Kind::ALL.into_iter().filter(|&kind| self.contains(kind));
        f.debug_set().entries(kinds).finish()
    }
}

/// Checks the text before the `.*`: segments as the domain of an NSID has them.
fn check_start(start: &str) -> Result<(), &'static str> {
    if start.len() + 2 > Nsid::MAX_LENGTH {
        return Err("longer than 317 bytes");
    }
    for segment in start.split('.') {
        check_domain_segment(segment)?;
    }
    if !start.as_bytes()[0].is_ascii_alphabetic() {
        return Err("does not start with a letter");
    }
    Ok(())
}
