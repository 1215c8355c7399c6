//! The lines of the log, one run of events after the other.

use jetwash_store::{Read, Run, Seq, Store, StoreError};

use crate::ingest::dedup::Line;

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
