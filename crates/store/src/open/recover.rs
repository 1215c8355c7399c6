use std::collections::BTreeSet;
use std::mem::take;
use std::path::PathBuf;
use std::sync::{Arc, RwLock};

use tokio::sync::watch;

use super::buckets::{
    EventBuckets, by_content, drop_accounts, end_of_buckets, list_buckets, open_frames,
};
use super::cursors::mend_cursors;
use super::gaps::skip_reserved;
use super::state::State;
use super::tail::read_tail;
use crate::append::{Appender, AppenderParts};
use crate::backend::{Backend, Batch, BucketName, Durable, Opened, Reserved, state};
use crate::block::{Cache, Dictionaries};
use crate::crash::crash_point;
use crate::error::{BackendError, OpenError};
use crate::identity::LogId;
use crate::options::Options;
use crate::read::Store;
use crate::ring::{Identity, KnownTotals, Latest, NamedCursors, Ring, View};
use crate::seq::Seq;
use crate::skipped::Skipped;

/// The view that is taken of a ring.
#[derive(Clone, Copy, Debug)]
pub(super) enum How {
    /// It is as its files say.
    AsItIs,
    /// It has lost commits, and continues behind all positions that may have been given out.
    BehindTheMark,
    /// The same, but it is not known which positions those are.
    AsAnotherLog,
}

/// Puts together the two sides of a ring from what its backend holds.
///
/// Three things are kept apart and may be of different ages after damage or a power failure: the
/// blocks in the buckets, the state with the tail, and the mark of what was given out. What results
/// keeps these invariants, whichever of them is behind:
///
/// - no position and no time is given out again: `next_seq` and `last_time` are the greatest that any
///   of the three knows of, and those of the mark if commits may be lost;
/// - no cursor is ahead of the events: where some are missing at the end, the cursors that were kept
///   with the last block count;
/// - positions without an event are gaps that readers are told of.
pub(super) fn recover(
    opened: Opened,
    path: PathBuf,
    options: Options,
    how: How,
) -> Result<(Appender, Store), OpenError> {
    let Opened {
        backend,
        state,
        buckets,
        reserved,
        mark,
    } = opened;
    let (is_known, reserved) = match how {
        How::AsItIs => (true, reserved),
        How::BehindTheMark => (true, Some(mark)),
        How::AsAnotherLog => (false, Some(mark)),
    };
    let mut state = State::read(state, &path)?;
    let storage = |source: BackendError| OpenError::Storage {
        path: path.clone(),
        source,
    };
    // Before any other change, and only in a ring that can be read.
    backend.begin().map_err(storage)?;
    crash_point!("open.versioned");
    let (identity, reserved) = identify(&state, is_known, reserved, &*backend).map_err(storage)?;
    let (buckets, frame_buckets, mut account_buckets) = by_content(buckets);
    drop_accounts(&mut account_buckets, &*backend).map_err(storage)?;
    let kept = open_frames(take(&mut state.frames), frame_buckets, &*backend, &options)
        .map_err(storage)?;
    let (frame_writer, frames) = kept.unzip();
    let dictionaries = Arc::new(Dictionaries::new(take(&mut state.dictionaries)));

    let slots = state.tail.len() as u32;
    let (mut view, end) =
        lay_out(&mut state, buckets, &*backend, &dictionaries).map_err(storage)?;
    let changed_cursors =
        settle(&mut view, &mut state, end.is_ok(), reserved, &*backend).map_err(storage)?;
    // Now that all is known to be there, it is missed from the next opening on.
    backend.take_stock().map_err(storage)?;

    let (sender, tip) = watch::channel(view.next_seq);
    let ring = Arc::new(Ring {
        identity,
        view: RwLock::new(view),
        cache: Arc::new(Cache::new(options.cache_bytes)),
        dictionaries,
        durable: Durable::new(backend, options.durability),
        named: NamedCursors::new(state.named),
        letter_totals: KnownTotals::default(),
        account_total: Latest::default(),
        retention: Latest::new(options.retention),
        frames,
        tip,
    });
    let appender = Appender::new(AppenderParts {
        ring: Arc::clone(&ring),
        options,
        tip: sender,
        slots,
        cursors: state.cursors,
        changed_cursors,
        accounted: state.accounted,
        account_buckets,
        uses: state.uses,
        frames: frame_writer,
    });
    Ok((appender, Store::new(ring)))
}

/// Says where every event is: in the buckets, then in the tail. Drops buckets that hold nothing that
/// is wanted. Returns the end of the buckets as well: see [`end_of_buckets`].
fn lay_out(
    state: &mut State,
    buckets: EventBuckets,
    backend: &dyn Backend,
    dictionaries: &Arc<Dictionaries>,
) -> Result<(View, Result<Seq, Seq>), BackendError> {
    let mut view = View {
        next_seq: state.next_seq,
        last_time: state.last_time,
        gaps: take(&mut state.gaps),
        noted: take(&mut state.noted).into(),
        ..View::default()
    };
    // First the buckets: of the tail, only the pieces that follow them are wanted.
    for first_seq in list_buckets(&mut view, buckets, state.floor)? {
        backend.delete_bucket(BucketName::Events(first_seq))?;
        crash_point!("open.bucket_deleted");
    }
    let end = end_of_buckets(&mut view);
    read_tail(
        &mut view,
        take(&mut state.tail),
        end,
        state.floor,
        dictionaries,
    );
    Ok((view, end))
}

/// Makes the cursors and the positions fit the events that are there. Returns the cursors that have
/// changed.
fn settle(
    view: &mut View,
    state: &mut State,
    is_end_known: bool,
    reserved: Option<Reserved>,
    backend: &dyn Backend,
) -> Result<BTreeSet<String>, BackendError> {
    // Before the skipped positions become a gap: then events that are missing at the end could not
    // be told from positions that are left out.
    let changed = mend_cursors(&mut state.cursors, view, is_end_known, state.next_seq);
    if let Some(reserved) = reserved {
        // In the batch of the new position: once that is stored, nothing says any more that events
        // before it are missing.
        let mut batch = Batch::default();
        for (name, value) in &state.cursors {
            if changed.contains(name) {
                batch.set(state::cursor_key(name), state::encode_numbers(&[*value]));
            }
        }
        skip_reserved(view, backend, reserved, batch)?;
    }
    Skipped::keep_newest(&mut view.gaps);
    Ok(changed)
}

/// Says which log it is, and which positions have to be skipped.
///
/// A mirror's positions are its origin's, which gives each to the same event again: nothing is skipped,
/// and the log stays the same.
fn identify(
    state: &State,
    is_known: bool,
    reserved: Option<Reserved>,
    backend: &dyn Backend,
) -> Result<(Identity, Option<Reserved>), BackendError> {
    if let Some(id) = state.mirror {
        return Ok((Identity::new(id, true), None));
    }
    let id = log_id(state.id.filter(|_| is_known), backend)?;
    Ok((Identity::new(id, false), reserved))
}

/// Gives a log an identity if none is known, and syncs it before any reader can see it.
fn log_id(known: Option<LogId>, backend: &dyn Backend) -> Result<LogId, BackendError> {
    if let Some(id) = known {
        return Ok(id);
    }
    let id = LogId::random();
    let mut batch = Batch::default();
    batch.set(state::LOG.to_vec(), state::encode_numbers(&[id.get()]));
    backend.write(&batch)?;
    backend.sync()?;
    Ok(id)
}
