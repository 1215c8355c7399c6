use std::path::PathBuf;
use std::sync::{Arc, RwLock};

use tokio::sync::watch;

use super::buckets::{by_content, end_of_buckets, list_buckets, open_frames};
use super::cursors::mend_cursors;
use super::gaps::{newest_gaps, skip_reserved};
use super::state::State;
use super::tail::read_tail;
use crate::append::{Appender, AppenderParts};
use crate::backend::{Backend, Batch, BucketName, Durable, Opened, state};
use crate::block::{Cache, Dictionaries};
use crate::crash::crash_point;
use crate::error::{BackendError, OpenError};
use crate::identity::LogId;
use crate::options::Options;
use crate::read::Store;
use crate::ring::{KnownTotals, NamedCursors, Ring, View};

/// What a ring is taken for.
#[derive(Clone, Copy, Debug)]
pub(super) enum How {
    /// What its files say.
    AsItIs,
    /// One that has lost commits: it goes on behind all positions that may have been given out.
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
    let state = State::read(state, &path)?;
    let storage = |source: BackendError| OpenError::Storage {
        path: path.clone(),
        source,
    };
    // Up to here nothing has been changed: a ring that is refused is left as it was.
    backend.begin().map_err(storage)?;
    crash_point!("open.versioned");
    let id = match state.id.filter(|_| is_known) {
        Some(id) => id,
        None => begin_log(&*backend).map_err(storage)?,
    };
    let (buckets, frame_buckets) = by_content(buckets);
    let kept = open_frames(state.frames, frame_buckets, &*backend, &options).map_err(storage)?;
    let (frame_writer, frames) = kept.unzip();
    let dictionaries = Arc::new(Dictionaries::default());
    state
        .dictionaries
        .into_iter()
        .for_each(|dictionary| dictionaries.add(dictionary));

    let mut view = View {
        next_seq: state.next_seq,
        last_time: state.last_time,
        gaps: state.gaps,
        noted: state.noted.into(),
        ..View::default()
    };
    // First the buckets, as only the pieces of the tail that follow them are wanted.
    let useless = list_buckets(&mut view, buckets, state.floor).map_err(storage)?;
    for first_seq in useless {
        let name = BucketName::Events(first_seq);
        backend.delete_bucket(name).map_err(storage)?;
        crash_point!("open.bucket_deleted");
    }
    let slots = state.tail.len() as u32;
    let end = end_of_buckets(&mut view);
    read_tail(&mut view, state.tail, end, state.floor, &dictionaries);

    // The cursors before the positions: what is missing is asked for again, and gets new ones.
    let mut cursors = state.cursors;
    let changed_cursors = mend_cursors(&mut cursors, &view, end.is_ok(), state.next_seq);
    if let Some(reserved) = reserved {
        // In one batch, lest a crash in between leave a cursor that is ahead of its events.
        let mut batch = Batch::default();
        for (name, value) in cursors
            .iter()
            .filter(|(name, _)| changed_cursors.contains(*name))
        {
            batch.set(state::cursor_key(name), state::encode_numbers(&[*value]));
        }
        skip_reserved(&mut view, &*backend, reserved, batch).map_err(storage)?;
    }
    view.gaps = newest_gaps(&view);
    // Now that all is known to be there, it is missed from the next opening on.
    backend.take_stock().map_err(storage)?;

    let (sender, tip) = watch::channel(view.next_seq);
    let ring = Arc::new(Ring {
        id,
        view: RwLock::new(view),
        cache: Arc::new(Cache::new(options.cache_bytes)),
        dictionaries,
        durable: Durable::new(backend, options.durability),
        named: NamedCursors::new(state.named),
        letter_totals: KnownTotals::default(),
        frames,
        tip,
    });
    let appender = Appender::new(AppenderParts {
        ring: Arc::clone(&ring),
        options,
        tip: sender,
        slots,
        cursors,
        changed_cursors,
        accounted: state.accounted,
        uses: state.uses,
        frames: frame_writer,
    });
    Ok((appender, Store::new(ring)))
}

/// Gives a log its identity. It is safe before anybody can have seen it.
fn begin_log(backend: &dyn Backend) -> Result<LogId, BackendError> {
    let id = LogId::random();
    let mut batch = Batch::default();
    batch.set(state::LOG.to_vec(), state::encode_numbers(&[id.get()]));
    backend.write(&batch)?;
    backend.sync()?;
    Ok(id)
}
