use jetwash_event::Micros;
use jetwash_frame::{CommitMessage, Frame, SyncMessage};
use jetwash_verify::{Claim, Reason, SignatureCheck, Verifier};

use crate::ingest::check::keys::Keys;

/// The answers that a frame comes with, if they are there already.
#[derive(Clone, Debug, Default)]
pub(crate) struct Given {
    /// The result of its check; without one, it is checked by the pipeline if need be.
    pub(crate) checked: Option<Checked>,
    /// Whether the caller's closure lets it in.
    pub(crate) is_let_in: Option<bool>,
    /// The number that the source has for it, if that is not its own.
    pub(crate) number: Option<u64>,
}

impl Given {
    /// Whether the frame is known to be invalid.
    pub(crate) fn is_invalid(&self) -> bool {
        self.checked.as_ref().is_some_and(|checked| {
            checked.claim.is_err() || matches!(checked.signature, SignatureCheck::Invalid(_))
        })
    }
}

/// The result of checking a frame, as far as no history is needed.
#[derive(Clone, Debug)]
pub(crate) struct Checked {
    pub(crate) claim: Result<Claim, Reason>,
    /// Means nothing if there is no claim.
    pub(crate) signature: SignatureCheck,
}

impl Checked {
    /// Whether a key is needed that is not known.
    pub(crate) const fn needs_key(&self) -> bool {
        self.claim.is_ok() && matches!(self.signature, SignatureCheck::Needs(_))
    }

    fn of(claim: Result<Claim, Reason>, did: &str, (keys, can_wait): (&Keys, bool)) -> Self {
        let signature = match &claim {
            Ok(claim) => keys.check(claim, did, can_wait),
            Err(_) => SignatureCheck::Unresolved,
        };
        Self { claim, signature }
    }
}

/// Checks a commit that cannot wait for a newer key.
pub(crate) fn check_commit(
    verifier: &mut Verifier,
    commit: &CommitMessage<'_>,
    keys: &Keys,
    now: Micros,
) -> Checked {
    Checked::of(verifier.commit(commit, now), commit.repo, (keys, false))
}

/// Checks a `#sync` that cannot wait for a newer key.
pub(crate) fn check_sync(
    verifier: &mut Verifier,
    sync: &SyncMessage<'_>,
    keys: &Keys,
    now: Micros,
) -> Checked {
    Checked::of(verifier.sync(sync, now), sync.did, (keys, false))
}

/// Checks a frame; `None` if there is nothing in it to check, or it cannot be decoded, which the
/// pipeline says with the reason.
pub(super) fn check_frame(
    verifier: &mut Verifier,
    frame: &[u8],
    keys: &Keys,
    now: Micros,
) -> Option<Checked> {
    let (claim, did) = match Frame::decode(frame).ok()? {
        Frame::Commit(commit) => (verifier.commit(&commit, now), commit.repo),
        Frame::Sync(sync) => (verifier.sync(&sync, now), sync.did),
        _ => return None,
    };
    Some(Checked::of(claim, did, (keys, true)))
}
