use std::fmt;

use serde::{Deserialize, Serialize};

/// The kinds of event.
///
/// # Examples
///
/// ```
/// use jetwash_event::Kind;
///
/// assert_eq!(Kind::Commit.to_string(), "commit");
/// assert_eq!(serde_json::from_str::<Kind>(r#""account""#)?, Kind::Account);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A record was created, updated or deleted.
    Commit,
    /// An account's identity may have changed: its handle, its keys or its host.
    Identity,
    /// An account's hosting status has changed.
    Account,
    /// An account's repository is in a new state, and its records have to be fetched anew. Version 1
    /// of Jetstream does not have it.
    Sync,
    /// A labeler has given a label or taken it back. Only a log of labels has it, and nothing else is in
    /// one.
    Label,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 5] = [
        Self::Commit,
        Self::Identity,
        Self::Account,
        Self::Sync,
        Self::Label,
    ];

    /// The word for it in an event's `kind`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Identity => "identity",
            Self::Account => "account",
            Self::Sync => "sync",
            Self::Label => "label",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The operation of a commit on a record.
///
/// # Examples
///
/// ```
/// use jetwash_event::Operation;
///
/// assert_eq!(Operation::Create.as_str(), "create");
/// assert_eq!(serde_json::to_string(&Operation::Delete)?, r#""delete""#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// The record is new.
    Create,
    /// The record replaces one of the same key.
    Update,
    /// The record is gone.
    Delete,
}

impl Operation {
    /// The word for it in a commit's `operation`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
