use std::path::Path;

use super::open_disk;
use super::recover::How;
use super::report::RepairReport;
use crate::backend::{self, RepairedFiles};
use crate::error::{OpenError, StoreError};
use crate::gap::Gap;
use crate::options::Options;
use crate::read::Store;
use crate::ring::Read;
use crate::seq::Seq;

/// Makes a ring that cannot be opened into one that can: keeps what can be read, and tells what is
/// lost.
///
/// Files that are damaged are put aside in the ring's folder, under `damaged-1` and so on, and never
/// removed. What is in them is read as far as it is whole, so it needs room for a copy of it. Every
/// event that is left is read once. Positions without an event become gaps that readers are told of,
/// and no position is given out twice. Upstreams are asked again for what followed the last events
/// that are left, if they still have it.
///
/// A ring that nothing is wrong with is left as it is, and read. If it is cut short, it can be called
/// again; what was in files that had just been put aside may have to be moved back before.
///
/// # Errors
///
/// When the folder holds no ring or is open elsewhere, the disk fails, or the ring's manifest is gone
/// as well as something else.
///
/// # Examples
///
/// ```
/// use jetwash_store::{Location, Options, open, repair};
///
/// let folder = tempfile::tempdir()?;
/// drop(open(Location::Disk(folder.path().to_owned()), Options::default())?);
/// let report = repair(folder.path())?;
/// assert!(report.is_sound());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn repair(path: &Path) -> Result<RepairReport, OpenError> {
    let repaired = backend::repair_files(path)?;
    // Frames that are kept stay, however many.
    let options = Options::default().keep_frames(u64::MAX);
    let is_sound = repaired.missing.is_empty() && repaired.damaged.is_empty();
    let how = if is_sound {
        How::AsItIs
    } else if repaired.is_mark_known {
        How::BehindTheMark
    } else {
        How::AsAnotherLog
    };
    let (appender, store) = open_disk(path.to_owned(), options, how)?;
    let (events, lost) =
        look_through(&store, repaired.oldest_seq).map_err(|error| OpenError::Storage {
            path: path.to_owned(),
            source: error.into(),
        })?;
    let next_seq = store.bounds().next_seq;
    let (log_id, is_mirror) = (store.log_id(), store.is_mirror());
    drop((appender, store));
    let RepairedFiles {
        missing,
        damaged,
        letters_left,
        accounts_left,
        set_aside,
        ..
    } = repaired;
    Ok(RepairReport {
        missing,
        damaged,
        set_aside,
        letters_left,
        accounts_left,
        events,
        lost,
        next_seq,
        log_id,
        is_new_log: matches!(how, How::AsAnotherLog) && !is_mirror,
    })
}

/// Counts the events that can be read, and finds the positions that have none.
fn look_through(store: &Store, oldest_seq: Seq) -> Result<(u64, Vec<(Seq, Seq)>), StoreError> {
    let (mut at, mut events) = (oldest_seq, 0);
    let mut lost: Vec<(Seq, Seq)> = Vec::new();
    let mut lose = |from: Seq, to: Seq| match lost.last_mut() {
        Some((_, next)) if *next == from => *next = to,
        _ if from < to => lost.push((from, to)),
        _ => {}
    };
    // Each event is read once, or it could be found damaged only by a reader, later.
    loop {
        let found = store.read(at).and_then(|read| {
            if let Read::Events(run) = &read
                && run.block().compressed()?.is_none()
            {
                run.block().json()?;
            }
            Ok(read)
        });
        match found {
            Ok(Read::Events(run)) => {
                events += run.next_seq().since(at);
                at = run.next_seq();
            }
            Ok(Read::AtTip) => return Ok((events, lost)),
            Ok(Read::Gap(Gap { next_seq: next, .. }))
            | Err(StoreError::Corrupt { next_seq: next, .. })
                if next > at =>
            {
                lose(at, next);
                at = next;
            }
            Ok(Read::Gap(_)) => return Ok((events, lost)),
            Err(error) => return Err(error),
        }
    }
}
