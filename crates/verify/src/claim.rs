use jetwash_cbor::Cid;
use jetwash_event::Tid;

use crate::key::PublicKey;
use crate::outcome::{Judgement, KnownKey, Need, Outcome, Skip};
use crate::reason::Reason;
use crate::signature::SignatureError;
use crate::state::{HostingState, RepoState};
use crate::verdict::Verdict;

/// The state that a frame says a repository has now. Form, blocks and proof have been checked;
/// signature and chain have not.
///
/// It borrows nothing and has about 256 bytes, so it can be sent to another thread to have its
/// signature checked, while the frame stays where it is.
///
/// # Examples
///
/// The two checks that are left, on two threads:
///
/// ```
/// use jetwash_verify::{Claim, Outcome, RepoState, SignatureCheck, KnownKey};
///
/// /// On a worker: 30 microseconds or more.
/// fn work(claim: &Claim, key: KnownKey<'_>) -> SignatureCheck {
///     claim.check_signature(key)
/// }
///
/// /// Where the frames of an account are in order: next to nothing.
/// fn judge(claim: &Claim, check: SignatureCheck, stored: Option<&RepoState>) -> Outcome {
///     claim.judge(check, stored)
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Claim {
    pub(crate) kind: ClaimKind,
    pub(crate) rev: Tid,
    pub(crate) since: Option<Tid>,
    pub(crate) data: Cid,
    /// The root before, proven or as the frame says; `None` if it says nothing.
    pub(crate) before: Option<Cid>,
    /// The SHA-256 of the commit object without `sig`.
    pub(crate) digest: [u8; 32],
    pub(crate) signature: [u8; 64],
    pub(crate) missing_records: u16,
}

/// How a claim follows from what came before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClaimKind {
    Commit(Proof),
    Sync,
}

/// The strength of the proof that the operations of a commit are exactly what changed.
///
/// # Examples
///
/// ```
/// use jetwash_verify::{Proof, Verifier};
///
/// // No operation, so nothing has changed, and no block is needed to see that.
/// let root = jetwash_cbor::Cid::of(jetwash_cbor::Codec::DagCbor, &[0xa0]);
/// let mut car = b"\x3a\xa2\x65roots\x81\xd8\x2a\x58\x25\0".to_vec();
/// car.extend(root.as_bytes());
/// car.extend(b"\x67version\x01");
/// let proof = Verifier::new().invert(&car, &root, &[], Some(&root));
/// assert_eq!(proof, Ok(Proof::Complete));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Proof {
    /// With the operations undone, the tree is the one before.
    Complete,
    /// Blocks of the tree are missing. Nothing contradicts the operations.
    Insufficient,
    /// The frame does not say what was there before. Nothing contradicts the operations.
    Legacy,
}

impl Claim {
    /// The revision.
    #[must_use]
    pub const fn rev(&self) -> Tid {
        self.rev
    }

    /// The root of the tree.
    #[must_use]
    pub const fn data(&self) -> &Cid {
        &self.data
    }

    /// The strength of the proof of a commit; `None` for a sync, which changes nothing by itself.
    #[must_use]
    pub const fn proof(&self) -> Option<Proof> {
        match self.kind {
            ClaimKind::Commit(proof) => Some(proof),
            ClaimKind::Sync => None,
        }
    }

    /// How many operations name a record whose block is missing, or does not match its CID. They
    /// cannot be delivered; the others can.
    #[must_use]
    pub const fn missing_records(&self) -> u16 {
        self.missing_records
    }

    /// Checks the signature with a key.
    ///
    /// # Errors
    ///
    /// As [`PublicKey::verify_digest`].
    pub fn verify_with(&self, key: &PublicKey) -> Result<(), SignatureError> {
        key.verify_digest(&self.digest, &self.signature)
    }

    /// Checks the signature with the account's key, as far as the caller has it.
    ///
    /// Source: the sync specification.
    #[must_use]
    pub fn check_signature(&self, key: KnownKey<'_>) -> SignatureCheck {
        match key {
            KnownKey::Missing => SignatureCheck::Needs(Need::Key),
            KnownKey::Unavailable => SignatureCheck::Unresolved,
            KnownKey::Unusable => SignatureCheck::Invalid(Reason::KeyUnusable),
            KnownKey::Cached(key) => match self.verify_with(key) {
                Ok(()) => SignatureCheck::Valid,
                Err(_) => SignatureCheck::Needs(Need::FreshKey),
            },
            KnownKey::Fresh(key) => match self.verify_with(key) {
                Ok(()) => SignatureCheck::Valid,
                Err(_) => SignatureCheck::Invalid(Reason::SignatureMismatch),
            },
        }
    }

    /// Judges the frame by its signature and by the stored state of the repository, which must be
    /// the one after all earlier frames of the account.
    ///
    /// A commit that does not follow what is stored is [`Verdict::Discontinuous`], and becomes the
    /// state all the same, marked as desynchronised: the account has signed it, so it is where the
    /// repository is now, and the commits after it are judged by it. Otherwise an account of which
    /// one frame was lost would be out of step until somebody fetches its repository. If the stored
    /// root is the one that the commit builds on, nothing is missing, and the mark is not set.
    ///
    /// A commit whose proof is short or of the legacy kind becomes the state too: its root is signed,
    /// only that its operations are all of them is not proven.
    ///
    /// Source: the sync specification, and proposal 0006.
    #[must_use]
    pub fn judge(&self, signature: SignatureCheck, stored: Option<&RepoState>) -> Outcome {
        if let Some(skip) = Skip::of_rev(self.rev, HostingState::Active, stored) {
            return Outcome::Skipped(skip);
        }
        match signature {
            SignatureCheck::Valid => Outcome::Judged(self.follow(stored)),
            SignatureCheck::Invalid(reason) => Outcome::invalid(reason),
            SignatureCheck::Needs(need) => Outcome::Needs(need),
            SignatureCheck::Unresolved => Outcome::Judged(Judgement {
                verdict: Verdict::Unresolved,
                // Anybody can have made it, so it must not become what others are judged by.
                state: None,
                needs_repository: false,
            }),
        }
    }

    /// The chain check of a frame that the account has signed.
    fn follow(&self, stored: Option<&RepoState>) -> Judgement {
        let chain = stored.map_or(Chain::Whole, |stored| self.chain(stored));
        let verdict = match (chain, self.kind) {
            (Chain::Whole, ClaimKind::Commit(Proof::Complete) | ClaimKind::Sync) => {
                Verdict::Verified
            }
            (Chain::Whole, ClaimKind::Commit(Proof::Legacy)) => Verdict::Legacy,
            (Chain::Whole, ClaimKind::Commit(Proof::Insufficient)) => Verdict::InsufficientProof,
            (Chain::SameData | Chain::Broken, _) => Verdict::Discontinuous,
        };
        let was_desynchronised = stored.is_some_and(RepoState::is_desynchronised);
        Judgement {
            verdict,
            state: Some(RepoState {
                rev: self.rev,
                data: self.data,
                is_desynchronised: was_desynchronised || chain == Chain::Broken,
            }),
            needs_repository: chain == Chain::Broken,
        }
    }

    fn chain(&self, stored: &RepoState) -> Chain {
        let builds_on = match self.kind {
            ClaimKind::Commit(_) => self.before,
            // It says where the repository is, which is no news if it is there already.
            ClaimKind::Sync => Some(self.data),
        };
        let is_next = match self.kind {
            ClaimKind::Commit(_) => self.since == Some(stored.rev),
            ClaimKind::Sync => true,
        };
        match builds_on {
            Some(data) if data != stored.data => Chain::Broken,
            _ if is_next => Chain::Whole,
            Some(_) => Chain::SameData,
            None => Chain::Broken,
        }
    }
}

/// The result of checking a signature.
///
/// # Examples
///
/// ```
/// use jetwash_verify::{Need, SignatureCheck};
///
/// fn is_done(check: SignatureCheck) -> bool {
///     !matches!(check, SignatureCheck::Needs(_))
/// }
/// assert!(!is_done(SignatureCheck::Needs(Need::FreshKey)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureCheck {
    /// The account signed it.
    Valid,
    /// The account did not sign it.
    Invalid(Reason),
    /// A key is needed to say.
    Needs(Need),
    /// No key can be found now.
    Unresolved,
}

/// Whether a frame follows the stored state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chain {
    /// It does, or nothing is stored.
    Whole,
    /// It builds on the stored root, but names another revision before it: between the two the
    /// content has not changed.
    SameData,
    /// Something is missing in between.
    Broken,
}
