use jetwash_event::Kind;
use jetwash_store::{Read, Seq, Store};

use crate::build_error::Mistake;

/// Refuses a log that is not of the sort that the settings are for: own events in a mirror would
/// have positions that its origin gives to others, and readers of labels or of other events are to
/// meet nothing else.
pub(crate) fn check_sort(store: &Store, is_mirror: bool, has_labels: bool) -> Result<(), Mistake> {
    let log = store.log_id();
    if store.is_mirror() && !is_mirror {
        return Err(Mistake::MirrorFolder { log });
    }
    let bounds = store.bounds();
    let is_new = bounds.next_seq == Seq::FIRST;
    if is_mirror && !store.is_mirror() && !is_new {
        return Err(Mistake::OwnFolder { log });
    }
    match oldest_kind(store) {
        _ if is_mirror => Ok(()),
        Some(Kind::Label) if !has_labels => Err(Mistake::LabelsFolder { log }),
        Some(kind) if has_labels && kind != Kind::Label => Err(Mistake::NotLabelsFolder { log }),
        _ => Ok(()),
    }
}

/// Returns the kind of the oldest event, if there is one that can be read. Readers are told where a log
/// cannot be read.
fn oldest_kind(store: &Store) -> Option<Kind> {
    let mut position = store.bounds().oldest_seq;
    for _ in 0..MOST_READS {
        match store.read(position).ok()? {
            Read::Events(run) => {
                let kind = run.block().kinds().get(run.indexes().start)?;
                return Some(kind.kind());
            }
            Read::Gap(gap) => position = gap.next_seq,
            Read::AtTip => return None,
        }
    }
    None
}

/// An event behind more gaps than this is not looked for.
const MOST_READS: u32 = 16;
