use jetwash_event::Tid;

use crate::key::PublicKey;
use crate::reason::Reason;
use crate::state::{HostingState, RepoState};
use crate::verdict::Verdict;

/// The end of verifying a frame.
///
/// # Examples
///
/// ```
/// use jetwash_verify::{Need, Outcome, Policy};
///
/// fn delivers(outcome: &Outcome) -> bool {
///     match outcome {
///         Outcome::Judged(judgement) => Policy::Lenient.delivers(judgement.verdict),
///         // It is judged once the key is there, so until then it waits.
///         Outcome::Needs(Need::Key | Need::FreshKey) => false,
///         Outcome::Skipped(_) => false,
///     }
/// }
/// assert!(!delivers(&Outcome::Needs(Need::Key)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The frame has a verdict.
    Judged(Judgement),
    /// The frame has to wait for something, and then be judged with it.
    Needs(Need),
    /// The frame is not to be delivered, and nothing is wrong with it.
    Skipped(Skip),
}

impl Outcome {
    /// The verdict, if there is one.
    #[must_use]
    pub const fn verdict(&self) -> Option<Verdict> {
        match self {
            Self::Judged(judgement) => Some(judgement.verdict),
            _ => None,
        }
    }

    pub(crate) const fn invalid(reason: Reason) -> Self {
        Self::Judged(Judgement {
            verdict: Verdict::Invalid(reason),
            state: None,
            needs_repository: false,
        })
    }
}

/// A verdict, and its consequences.
///
/// # Examples
///
/// ```
/// use jetwash_verify::{Judgement, Outcome, RepoState};
///
/// /// Keeps the state of a repository, and says whether the repository has to be fetched.
/// fn keep(stored: &mut Option<RepoState>, judgement: &Judgement) -> bool {
///     if judgement.state.is_some() {
///         *stored = judgement.state;
///     }
///     judgement.needs_repository
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// The state to store, in one batch with the events of the frame; `None` to keep what is
    /// stored. Only what the account has signed leads to a new state.
    pub state: Option<RepoState>,
    /// Whether the frame shows that the repository is not known in full, so that it is worth
    /// fetching. The frame that breaks the chain says so; from then on the state does.
    pub needs_repository: bool,
}

/// The things that a frame can wait for.
///
/// # Examples
///
/// ```
/// use jetwash_verify::{Need, PublicKey, KnownKey};
///
/// /// Looks the key up, or up again; without one, the frame has to do without.
/// fn look_up<'k>(need: Need, resolved: Option<&'k PublicKey>) -> KnownKey<'k> {
///     assert!(matches!(need, Need::Key | Need::FreshKey));
///     resolved.map_or(KnownKey::Unavailable, KnownKey::Fresh)
/// }
/// assert!(matches!(look_up(Need::Key, None), KnownKey::Unavailable));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Need {
    /// The account's key.
    Key,
    /// The account's key, looked up anew: the cached one does not fit, as after a rotation. Keep it
    /// to a budget, since anybody can send commits with a wrong signature.
    FreshKey,
}

/// Why a frame is not to be delivered although nothing is wrong with it.
///
/// # Examples
///
/// ```
/// use jetwash_verify::{HostingState, Skip};
///
/// let skip = Skip::of("3l3qo2vutsw2b", HostingState::Inactive, None);
/// assert_eq!(skip, Some(Skip::Inactive));
/// assert_eq!(Skip::of("3l3qo2vutsw2b", HostingState::Active, None), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Skip {
    /// The account is not active at its host.
    Inactive,
    /// The frame is no commit and no sync, so there is nothing to verify.
    NoRepository,
    /// The revision is not newer than the stored one: a repeat, or older.
    Stale,
}

impl Skip {
    /// Whether a frame of that revision is to be skipped. It costs no more than a comparison, so it
    /// is worth asking before anything else.
    #[must_use]
    pub fn of(rev: &str, hosting: HostingState, state: Option<&RepoState>) -> Option<Self> {
        match rev.parse() {
            Ok(rev) => Self::of_rev(rev, hosting, state),
            // Whatever is wrong with it is found later.
            Err(_) => None,
        }
    }

    pub(crate) fn of_rev(
        rev: Tid,
        hosting: HostingState,
        state: Option<&RepoState>,
    ) -> Option<Self> {
        if hosting == HostingState::Inactive {
            return Some(Self::Inactive);
        }
        state
            .is_some_and(|state| rev <= state.rev)
            .then_some(Self::Stale)
    }

    /// A short name, for a counter's label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Inactive => "account_inactive",
            Self::NoRepository => "no_repository",
            Self::Stale => "rev_stale",
        }
    }
}

/// The key of an account, as far as the caller has it.
///
/// # Examples
///
/// ```
/// use jetwash_verify::{KnownKey, PublicKey};
///
/// fn of_cache(cached: Option<&PublicKey>) -> KnownKey<'_> {
///     cached.map_or(KnownKey::Missing, KnownKey::Cached)
/// }
/// assert!(matches!(of_cache(None), KnownKey::Missing));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub enum KnownKey<'k> {
    /// Not looked up yet; the frame then [needs it](Need::Key).
    #[default]
    Missing,
    /// Looked up some time ago; if it does not fit, the frame [needs a newer](Need::FreshKey).
    Cached(&'k PublicKey),
    /// Looked up since the frame came; if it does not fit, the frame is invalid.
    Fresh(&'k PublicKey),
    /// Looked up since the frame came, and the DID document has no key that can be used.
    Unusable,
    /// It cannot be looked up now, or no more look-ups are allowed.
    Unavailable,
}

/// The part of what is known of an account that its next frame is judged by.
///
/// # Examples
///
/// ```
/// use jetwash_verify::{Known, KnownKey};
///
/// // Of an account that has just been seen for the first time.
/// let known = Known::default();
/// assert!(known.state.is_none() && matches!(known.key, KnownKey::Missing));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Known<'a> {
    /// Whether the account is active.
    pub hosting: HostingState,
    /// The stored state of its repository.
    pub state: Option<&'a RepoState>,
    /// Its key.
    pub key: KnownKey<'a>,
}
