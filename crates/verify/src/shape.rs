//! The first checks: what can be seen of a frame without looking into its blocks.

use std::time::Duration;

use jetwash_event::{Datetime, Did, Micros, Nsid, RecordKey, Tid};
use jetwash_frame::{Action, CommitMessage, RepoOp, SyncMessage};

use crate::reason::Reason;

/// The revisions that a frame names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Revs {
    pub(crate) rev: Tid,
    pub(crate) since: Option<Tid>,
}

impl Revs {
    /// Checks the fields and operations of a commit. `order` becomes the operations in the order of
    /// their paths.
    pub(crate) fn of_commit(
        commit: &CommitMessage<'_>,
        order: &mut Vec<u16>,
    ) -> Result<Self, Reason> {
        Did::check(commit.repo).map_err(|_| Reason::DidSyntax)?;
        let rev = commit.rev.parse().map_err(|_| Reason::RevSyntax)?;
        let since = commit.since.map(str::parse).transpose();
        let since = since.map_err(|_| Reason::SinceSyntax)?;
        Datetime::check_rfc3339(commit.time).map_err(|_| Reason::TimeSyntax)?;
        if commit.rebase {
            return Err(Reason::Rebase);
        }
        if commit.too_big && commit.ops().is_empty() {
            return Err(Reason::TooBig);
        }
        let mut paths = commit.ops().iter().map(|op| op.path);
        paths.try_for_each(check_path)?;
        order_ops(commit.ops(), order)?;
        Ok(Self { rev, since })
    }

    /// Checks the fields of a sync.
    pub(crate) fn of_sync(sync: &SyncMessage<'_>) -> Result<Self, Reason> {
        Did::check(sync.did).map_err(|_| Reason::DidSyntax)?;
        let rev = sync.rev.parse().map_err(|_| Reason::RevSyntax)?;
        Datetime::check_rfc3339(sync.time).map_err(|_| Reason::TimeSyntax)?;
        Ok(Self { rev, since: None })
    }

    /// Refuses a revision of the future: all that follow it would be old.
    pub(crate) fn check_time(&self, now: Micros) -> Result<(), Reason> {
        if self.rev.time() > now.plus(FUTURE_TOLERANCE) {
            return Err(Reason::RevFuture);
        }
        Ok(())
    }
}

/// Checks that the CIDs of each operation fit its action and that no path is there twice. `order`
/// becomes the operations in the order of their paths.
pub(crate) fn order_ops(ops: &[RepoOp<'_>], order: &mut Vec<u16>) -> Result<(), Reason> {
    ops.iter().try_for_each(check_cids)?;
    // A frame has at most 200.
    let count = u16::try_from(ops.len()).map_err(|_| Reason::FrameOverLimit)?;
    order.clear();
    order.extend(0..count);
    let path = |index: u16| ops.get(usize::from(index)).map(|op| op.path);
    order.sort_unstable_by_key(|&index| path(index));
    let is_repeated = |pair: &[u16]| matches!(pair, &[a, b] if path(a) == path(b));
    if order.windows(2).any(is_repeated) {
        return Err(Reason::OpPathRepeated);
    }
    Ok(())
}

fn check_cids(op: &RepoOp<'_>) -> Result<(), Reason> {
    match (op.action, op.cid, op.prev) {
        (Action::Other(_), ..) => Err(Reason::OpAction),
        (Action::Create | Action::Update, None, _) | (Action::Delete, Some(_), _) => {
            Err(Reason::OpCid)
        }
        (Action::Create, _, Some(_)) => Err(Reason::OpPrev),
        (Action::Update, cid, prev) if cid == prev => Err(Reason::OpPrev),
        _ => Ok(()),
    }
}

fn check_path(path: &str) -> Result<(), Reason> {
    let (collection, rkey) = path.split_once('/').ok_or(Reason::OpPath)?;
    Nsid::check(collection).map_err(|_| Reason::OpPath)?;
    RecordKey::check(rkey).map_err(|_| Reason::OpPath)
}

/// How far ahead of the time a revision may be: five minutes, in microseconds.
const FUTURE_TOLERANCE: Duration = Duration::from_secs(300);
