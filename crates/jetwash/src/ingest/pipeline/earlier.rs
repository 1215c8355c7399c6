//! The revisions that the log has from before this run, while accounts are not kept.

use jetwash_store::{Read, Run, Seq, Store, StoreError};

use crate::ingest::dedup::{Line, Revs};
use crate::ingest::pipeline::accounts::RECENT_ACCOUNTS;

/// The newest revisions of accounts that the log had before this run.
///
/// A source that was followed across a restart may repeat itself under new numbers as well as at any
/// other time, so a process must not know less after it was started than before.
#[derive(Debug)]
pub(super) enum Earlier {
    /// No commit has come yet.
    Unread,
    Known(Revs),
    /// So much has come that they would be forgotten by now.
    Forgotten,
}

impl Earlier {
    /// Goes over the end of the log, which takes some tenths of a second where there is much; `key` is
    /// that of the table of newest revisions.
    #[cold]
    pub(super) fn read(store: &Store, key: impl Fn(&str) -> u64) -> Result<Self, StoreError> {
        let mut revs = Revs::new(RECENT_ACCOUNTS);
        let bounds = store.bounds();
        let mut position = bounds.oldest_seq.max(bounds.next_seq.minus(LOOKED_BACK));
        while let Some(run) = next_run(store, position, bounds.next_seq)? {
            each_line(&run, |line| {
                let key = key(line.did());
                // One that came late does not take the place of a newer one.
                if let Some(rev) = line.rev()
                    && revs.get(key).is_none_or(|known| rev > known)
                {
                    revs.insert(key, rev);
                }
            });
            position = run.next_seq();
        }
        Ok(Self::Known(revs))
    }
}

/// Reads the next events of the log from a position on, behind gaps if need be.
pub(super) fn next_run(
    store: &Store,
    mut position: Seq,
    end: Seq,
) -> Result<Option<Run>, StoreError> {
    while position < end {
        match store.read(position)? {
            Read::Events(run) => return Ok(Some(run)),
            Read::Gap(gap) if gap.next_seq > position => position = gap.next_seq,
            _ => break,
        }
    }
    Ok(None)
}

/// Goes over the lines of a run.
pub(super) fn each_line(run: &Run, each: impl FnMut(Line<'_>)) {
    if let Ok(page) = run.block().json() {
        let lines = run.indexes().filter_map(|index| page.get(index));
        lines.filter_map(Line::parse).for_each(each);
    }
}

/// How much of the log is gone over: in this much of it there are about as many accounts as are
/// remembered.
const LOOKED_BACK: u64 = 100_000;
