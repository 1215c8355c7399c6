//! The positions that no event has, because a power failure or damage took it.

use crate::backend::{Backend, Batch, Reserved, state};
use crate::error::BackendError;
use crate::ring::View;
use crate::seq::Seq;

/// Continues after all that readers may have seen, and remembers the gap. The store may have
/// forgotten what was committed last: the power failed, or it was damaged.
pub(super) fn skip_reserved(
    view: &mut View,
    backend: &dyn Backend,
    reserved: Reserved,
    mut batch: Batch,
) -> Result<(), BackendError> {
    let Reserved { seq, time_us } = reserved;
    if seq <= view.next_seq && time_us <= view.last_time {
        return Ok(());
    }
    if seq > view.next_seq {
        match view.gaps.last_mut() {
            Some((_, next)) if *next == view.next_seq => *next = seq,
            _ => view.gaps.push((view.next_seq, seq)),
        }
        view.next_seq = seq;
    }
    view.last_time = view.last_time.max(time_us);
    let position = state::encode_numbers(&[view.next_seq.get(), view.last_time.get()]);
    batch.set(state::POSITION.to_vec(), position);
    batch.set(state::GAPS.to_vec(), state::encode_gaps(&newest_gaps(view)));
    backend.write(&batch)?;
    backend.sync()
}

/// The gaps that are remembered: also those that the ring has moved past, to know how many events
/// it has dropped.
pub(super) fn newest_gaps(view: &View) -> Vec<(Seq, Seq)> {
    let start = view.gaps.len().saturating_sub(MAX_GAPS);
    view.gaps.get(start..).unwrap_or_default().to_vec()
}

/// One for each power failure.
const MAX_GAPS: usize = 1_024;
