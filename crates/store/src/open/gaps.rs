//! The positions that no event has, because a power failure or damage took it.

use crate::backend::{Backend, Batch, Reserved, state};
use crate::error::BackendError;
use crate::gap::GapCause;
use crate::ring::View;
use crate::skipped::Skipped;

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
        let skipped = Skipped {
            first: view.next_seq,
            next: seq,
            cause: GapCause::Skipped,
        };
        skipped.push_to(&mut view.gaps);
        Skipped::keep_newest(&mut view.gaps);
        view.next_seq = seq;
    }
    view.last_time = view.last_time.max(time_us);
    let position = state::encode_numbers(&[view.next_seq.get(), view.last_time.get()]);
    batch.set(state::POSITION.to_vec(), position);
    batch.set(state::GAPS.to_vec(), state::encode_gaps(&view.gaps));
    backend.write(&batch)?;
    backend.sync()
}
