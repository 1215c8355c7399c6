use jetwash_event::{Account, Commit, Identity, Kind, RepoSync};

/// The content of an event, to be matched in full.
///
/// There will be no other variants, so that the compiler asks for each: what is deleted has to go,
/// and so has what belongs to an account that is taken down.
///
/// # Examples
///
/// ```
/// use jetwash::testing::{SimChange, did, events_of};
/// use jetwash::Change;
///
/// let events = events_of([SimChange::account(did(0), false, Some("deleted"))])?;
/// match events[0].change()? {
///     Change::Create(commit) | Change::Update(commit) => println!("show {}", commit.rkey),
///     Change::Delete(commit) => println!("hide {}", commit.rkey),
///     Change::Identity(_) => {}
///     Change::Account(account) => assert!(!account.active),
///     Change::Sync(sync) => println!("fetch the repository anew, at {}", sync.rev),
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub enum Change {
    /// A record is new.
    Create(Commit),
    /// A record replaces one of the same key.
    Update(Commit),
    /// A record is gone: the commit carries none. Or a filter by content was asked for, and the
    /// record does not match it since this update, which the commit then carries. Either way it is
    /// not to be shown any more.
    Delete(Commit),
    /// The account's handle, keys or host may have changed.
    Identity(Identity),
    /// The account's hosting status has changed: it was deactivated, suspended, taken down or
    /// deleted, or is back.
    Account(Account),
    /// The account's repository is in a state that does not follow from the commits before: its host
    /// was repaired, or the account has moved. Which records have come, changed or gone is in no
    /// event, so a program that keeps the account's records may have wrong ones. To be right again
    /// it fetches the repository (`com.atproto.sync.getRepo`), and applies what it differs in.
    Sync(RepoSync),
}

impl Change {
    /// The kind of event that it came with.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Create(_) | Self::Update(_) | Self::Delete(_) => Kind::Commit,
            Self::Identity(_) => Kind::Identity,
            Self::Account(_) => Kind::Account,
            Self::Sync(_) => Kind::Sync,
        }
    }
}
