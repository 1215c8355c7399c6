use jetwash_store::{Seq, Store};

use crate::build_error::Mistake;

/// Refuses a log that is not of the sort that the settings are for: own events in a mirror would
/// have positions that its origin gives to others.
pub(crate) fn check_sort(store: &Store, is_mirror: bool) -> Result<(), Mistake> {
    let log = store.log_id();
    if store.is_mirror() && !is_mirror {
        return Err(Mistake::MirrorFolder { log });
    }
    let bounds = store.bounds();
    let is_new = bounds.next_seq == Seq::FIRST;
    if is_mirror && !store.is_mirror() && !is_new {
        return Err(Mistake::OwnFolder { log });
    }
    Ok(())
}
