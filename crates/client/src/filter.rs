use jetwash_event::{DidSet, Filter, FilterError};

use crate::wire::{ClientEvent, ClientKind};

/// The events that a client wants: a rule each for collections, accounts and kinds.
///
/// An event must pass all three, and a rule that names nothing passes everything. Events without a
/// collection pass the rule for collections, as on the wire. The server applies as much of it as
/// the wire can say, and the client all of it.
///
/// # Examples
///
/// ```
/// use jetwash_client::{ClientFilter, ClientKind};
///
/// let filter = ClientFilter::new()
///     .collections(["app.bsky.feed.post", "app.bsky.graph.*"])?
///     .kinds([ClientKind::Commit]);
/// assert!(filter.matches(ClientKind::Commit, "did:web:a.example", Some("app.bsky.graph.block")));
/// assert!(!filter.matches(ClientKind::Commit, "did:web:a.example", Some("app.bsky.feed.like")));
/// # Ok::<(), jetwash_event::FilterError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct ClientFilter {
    /// Collections and accounts.
    rules: Filter,
    patterns: Vec<Box<str>>,
    /// A bit for each kind; none stands for all.
    kinds: u8,
}

impl ClientFilter {
    /// Makes a filter that lets everything pass.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Also lets these collections pass: each an NSID, or the start of some, ended by `.*`. Up to
    /// 100 are sent to the server; if there are more, the server sends all collections.
    ///
    /// # Errors
    ///
    /// When a value is neither.
    pub fn collections<T: AsRef<str>>(
        mut self,
        patterns: impl IntoIterator<Item = T>,
    ) -> Result<Self, FilterError> {
        for pattern in patterns {
            let pattern = pattern.as_ref();
            self.rules = self.rules.collections([pattern])?;
            if !self.patterns.iter().any(|known| **known == *pattern) {
                self.patterns.push(pattern.into());
            }
        }
        Ok(self)
    }

    /// Also lets these accounts pass. Up to 10,000 are sent to the server; if there are more, the
    /// server sends all accounts.
    ///
    /// # Errors
    ///
    /// When a value is not a DID.
    pub fn dids<T: AsRef<str>>(
        mut self,
        dids: impl IntoIterator<Item = T>,
    ) -> Result<Self, FilterError> {
        self.rules = self.rules.dids(dids)?;
        Ok(self)
    }

    /// Also lets the accounts pass that are in a set when an event is matched. A set may change at
    /// any time and have any size, and is not sent to the server.
    #[must_use]
    pub fn did_set(mut self, set: DidSet) -> Self {
        self.rules = self.rules.did_set(set);
        self
    }

    /// Also lets these kinds pass.
    #[must_use]
    pub fn kinds(mut self, kinds: impl IntoIterator<Item = ClientKind>) -> Self {
        for kind in kinds {
            self.kinds |= 1 << kind as u8;
        }
        self
    }

    /// Whether an event passes. `collection` is `None` for events without a collection.
    #[must_use]
    pub fn matches(&self, kind: ClientKind, did: &str, collection: Option<&str>) -> bool {
        self.has_kind(kind)
            && collection.is_none_or(|collection| self.rules.matches_collection(collection))
            && self.rules.matches_did(did)
    }

    /// Whether it lets everything pass.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kinds == 0 && self.rules.is_empty()
    }

    pub(crate) fn passes(&self, event: &ClientEvent) -> bool {
        self.has_kind(event.kind())
            && (!self.rules.has_collections()
                || event
                    .collection()
                    .is_none_or(|it| self.rules.matches_collection(it)))
            && (!self.rules.has_dids() || self.rules.matches_did(event.did()))
    }

    /// The kinds it names, empty if it names none.
    pub(crate) fn named_kinds(&self) -> Vec<ClientKind> {
        let named = |kind: &ClientKind| self.kinds != 0 && self.has_kind(*kind);
        ClientKind::ALL.into_iter().filter(named).collect()
    }

    /// The collections it names, in their order.
    pub(crate) fn patterns(&self) -> &[Box<str>] {
        &self.patterns
    }

    /// The rules for collections and accounts.
    pub(crate) const fn rules(&self) -> &Filter {
        &self.rules
    }

    const fn has_kind(&self, kind: ClientKind) -> bool {
        self.kinds == 0 || self.kinds & (1 << kind as u8) != 0
    }
}
