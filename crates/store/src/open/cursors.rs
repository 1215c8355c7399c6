//! The cursors of upstreams, which have to fit the events that are there.

use std::collections::{BTreeMap, BTreeSet};

use crate::backend::state;
use crate::ring::View;
use crate::seq::Seq;

/// Makes the cursors fit the events that are there: they are kept with the blocks as well as in the
/// state, and damage to the journal may take what one of the two had and the other has. Returns
/// those that have changed.
///
/// If blocks are newer than the state, the upstreams need not send again what is in them; if events
/// are missing after the last block, they must.
pub(super) fn mend_cursors(
    cursors: &mut BTreeMap<String, u64>,
    view: &View,
    is_end_known: bool,
    stored_seq: Seq,
) -> BTreeSet<String> {
    let mut changed = BTreeSet::new();
    let Some((kept_seq, kept)) = kept_cursors(view) else {
        return changed;
    };
    let is_whole = is_end_known && !lacks_events(view, stored_seq);
    if is_whole && kept_seq <= stored_seq {
        return changed;
    }
    for (name, value) in kept {
        if cursors.get(&name) != Some(&value) {
            cursors.insert(name.clone(), value);
            changed.insert(name);
        }
    }
    changed
}

/// Whether events are missing after the last block, up to the position that was stored.
fn lacks_events(view: &View, stored_seq: Seq) -> bool {
    let mut at = view
        .buckets
        .back()
        .map_or(Seq::FIRST, |bucket| bucket.next_seq);
    for piece in view.tail() {
        if piece.first_seq() > view.after_gap(at) {
            return true;
        }
        at = piece.next_seq();
    }
    stored_seq > view.after_gap(at)
}

/// The cursors that were kept with the last block that has any, and the position they belong to.
fn kept_cursors(view: &View) -> Option<(Seq, BTreeMap<String, u64>)> {
    let mut at = Seq::MAX;
    for _ in 0..BLOCKS_ASKED {
        let place = view.cold_block(at)?;
        let kept = place.bucket.cursors(&place.key).ok().flatten();
        if let Some(kept) = kept.and_then(|bytes| state::decode_cursors(&bytes)) {
            return Some(kept);
        }
        at = place.key.first_seq.previous();
    }
    None
}

/// A block has no cursors if it was written by an earlier version, or in one commit with others.
const BLOCKS_ASKED: usize = 64;
