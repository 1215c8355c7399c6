use jetwash_frame::CommitMessage;
use jetwash_store::AccountState;

use crate::ingest::dedup;

/// How much is remembered of accounts, to recognise what is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accounts {
    /// The newest revision of those that were active not long ago.
    Recent,
    /// All that the log has of each, from the next frame on.
    Wanted,
    /// All that the log has of each.
    Kept,
}

/// The part of a commit that is new.
pub(super) struct News {
    /// The account in the table of newest revisions.
    pub(super) key: u64,
    pub(super) rev: u64,
    /// Whether the revision is not from a time that is yet to come.
    pub(super) is_believable: bool,
    /// The known state of the account, if it is kept.
    pub(super) state: Option<AccountState>,
}

impl News {
    pub(super) fn digest(&self, commit: &CommitMessage<'_>, index: u32) -> u64 {
        match (&self.state, commit.ops().get(index as usize)) {
            (Some(_), Some(op)) => dedup::op_digest(op),
            _ => 0,
        }
    }

    pub(super) fn is_known(&self, digest: u64) -> bool {
        let state = self.state.as_ref();
        state.is_some_and(|state| state.ops.contains(&digest))
    }

    pub(super) fn add(&mut self, digest: u64) {
        if let Some(state) = &mut self.state {
            dedup::add_op(state, digest);
        }
    }
}

/// The least number of accounts whose revisions are remembered in memory, in 1.2 MB at most.
pub(super) const RECENT_ACCOUNTS: usize = 28_000;
