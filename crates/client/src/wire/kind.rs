use std::fmt;

use jetwash_event::Kind;

/// The kinds of events on the wire of both versions.
///
/// # Examples
///
/// ```
/// use jetwash_client::{ClientFilter, ClientKind};
///
/// let filter = ClientFilter::new().kinds([ClientKind::Commit, ClientKind::Sync]);
/// assert!(filter.matches(ClientKind::Sync, "did:web:a.example", None));
/// assert!(!filter.matches(ClientKind::Account, "did:web:a.example", None));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ClientKind {
    /// A record was created, updated or deleted.
    Commit,
    /// An account's identity may have changed.
    Identity,
    /// An account's hosting status has changed.
    Account,
    /// An account's repository has to be fetched anew. Only version 2 has it.
    Sync,
}

impl ClientKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Commit, Self::Identity, Self::Account, Self::Sync];

    /// Returns the kind of the same name; `None` for labels, which neither version has.
    ///
    /// # Examples
    ///
    /// ```
    /// use jetwash_client::ClientKind;
    /// use jetwash_event::Kind;
    ///
    /// assert_eq!(ClientKind::of(Kind::Sync), Some(ClientKind::Sync));
    /// assert_eq!(ClientKind::of(Kind::Label), None);
    /// ```
    #[must_use]
    pub const fn of(kind: Kind) -> Option<Self> {
        Some(match kind {
            Kind::Commit => Self::Commit,
            Kind::Identity => Self::Identity,
            Kind::Account => Self::Account,
            Kind::Sync => Self::Sync,
            Kind::Label => return None,
        })
    }

    /// Returns the word for it on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Identity => "identity",
            Self::Account => "account",
            Self::Sync => "sync",
        }
    }
}

impl fmt::Display for ClientKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
