//! The thread that follows the log.

use std::path::PathBuf;
use std::time::Duration;

use jetwash::store::{Read, Run};
use jetwash::{
    Cursor, Gap, GapCause, Jetstream, Micros, ReadError, Reader, Reading, Selection, Seq, StartFrom,
};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{error, info, warn};

use crate::folder::{Folder, FolderError};
use crate::part::Part;
use crate::run_error::SpoolRunError;
use crate::settings::Settings;
use crate::status::{
    self, DAMAGED, LOST, SpoolState, SpoolStatus, Trouble, count_file, count_gap, count_trouble,
};

pub(crate) struct Worker {
    pub(crate) path: PathBuf,
    pub(crate) id: String,
    /// Until the first failure; then it is opened anew with each attempt.
    pub(crate) folder: Option<Folder>,
    pub(crate) settings: Settings,
    pub(crate) status: watch::Sender<SpoolStatus>,
    pub(crate) jetstream: Jetstream,
    pub(crate) runtime: Handle,
    /// Reports an error once the spool is to stop.
    pub(crate) stopped: watch::Receiver<()>,
}

/// Why the worker has something to do.
enum Wake {
    Events(Run),
    Gap(Gap),
    Due,
    Ended,
    Failed(ReadError),
}

impl Worker {
    pub(crate) fn run(mut self) -> Result<(), SpoolRunError> {
        let mut retry = self.settings.first_retry;
        let mut is_last = false;
        loop {
            let before = self.status.borrow().cursor;
            let Err(trouble) = self.attempt() else {
                self.set_state(SpoolState::Stopped);
                return Ok(());
            };
            let cursor = self.status.borrow().cursor;
            if cursor > before {
                retry = self.settings.first_retry;
            }
            if is_last {
                error!(%cursor, %trouble, "the spool ends before its last file is complete");
                self.set_state(SpoolState::Stopped);
                let cursor = cursor.get();
                return Err(SpoolRunError::Unfinished { cursor, trouble });
            }
            self.report(&trouble, retry);
            is_last = self.pause(retry);
            retry = (retry * 2).min(self.settings.longest_retry);
        }
    }

    /// Follows the log until the end, or until something goes wrong.
    fn attempt(&mut self) -> Result<(), Trouble> {
        let folder = match self.folder.take() {
            Some(folder) => folder,
            None => Folder::open(&self.path, Some(&self.id))?,
        };
        let mut session = Session {
            worker: self,
            folder,
            part: None,
            covered: (Cursor::START, Micros::EPOCH),
            due: Instant::now(),
            selection: Selection::default(),
        };
        let outcome = session.follow();
        if let Some(part) = session.part.take() {
            // Its events are read again from the log, and other files may need the room.
            part.discard();
        }
        outcome
    }

    fn report(&self, trouble: &Trouble, retry_in: Duration) {
        let reason = trouble.reason();
        count_trouble(reason);
        let cursor = self.status.borrow().cursor;
        warn!(%cursor, ?retry_in, reason = reason.as_str(), "the spool stands still: {trouble}");
        self.set_state(SpoolState::Waiting {
            reason,
            message: trouble.to_string(),
            retry_in,
        });
    }

    /// Waits before the next attempt; `true` if that is to be the last.
    fn pause(&mut self, retry: Duration) -> bool {
        let mut tip = self.jetstream.store().tip();
        let log_ended = async { while tip.changed().await.is_ok() {} };
        let stopped = &mut self.stopped;
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                _ = stopped.changed() => true,
                () = log_ended => true,
                () = sleep(retry) => false,
            }
        })
    }

    fn set_state(&self, state: SpoolState) {
        status::set_waiting(matches!(state, SpoolState::Waiting { .. }));
        self.status.send_modify(|status| status.state = state);
    }
}

/// An attempt to follow the log.
struct Session<'a> {
    worker: &'a mut Worker,
    folder: Folder,
    part: Option<Part>,
    /// The last position that has been dealt with, and its time.
    covered: (Cursor, Micros),
    due: Instant,
    selection: Selection,
}

impl Session<'_> {
    fn follow(&mut self) -> Result<(), Trouble> {
        let mut reader = self.reader()?;
        let manifest = self.folder.manifest();
        self.covered = (manifest.cursor, manifest.time_us);
        self.publish();
        self.postpone();
        let worker = &self.worker;
        worker.set_state(SpoolState::Writing);
        info!(cursor = %self.covered.0, folder = %worker.path.display(), "the spool follows the log");
        loop {
            match self.next(&mut reader) {
                Wake::Events(run) => self.write(&run)?,
                Wake::Gap(gap) => self.come_to(&gap)?,
                Wake::Due => {}
                Wake::Ended => return self.roll(),
                Wake::Failed(error) => return Err(error.into()),
            }
            if self.due <= Instant::now() {
                self.roll()?;
            }
        }
    }

    /// The log from where the manifest ends.
    fn reader(&mut self) -> Result<Reader, Trouble> {
        let (jetstream, start) = (&self.worker.jetstream, self.worker.settings.start);
        let runtime = self.worker.runtime.clone();
        if !self.folder.manifest().started {
            let reader = runtime.block_on(jetstream.reader(start))?;
            let cursor = Cursor::before(reader.next_seq());
            self.folder.progress(cursor, Micros::EPOCH)?;
            return Ok(reader);
        }
        if let Some(next) = self.rewound()? {
            let (was, cursor) = (self.folder.manifest().cursor, Cursor::before(next));
            warn!(
                %was,
                %cursor,
                "the log is another one, or lost its end: it is read from an earlier position"
            );
            self.folder.rewind(cursor)?;
        }
        let cursor = self.folder.manifest().cursor;
        let reader = jetstream.reader(StartFrom::Cursor(cursor));
        Ok(runtime.block_on(reader)?)
    }

    /// The position to continue from if the log is no longer the one that was read: times only grow,
    /// so the event after the cursor has to be the first later one.
    fn rewound(&self) -> Result<Option<Seq>, Trouble> {
        let manifest = self.folder.manifest();
        let store = self.worker.jetstream.store();
        let bounds = store.bounds();
        let next = manifest.cursor.next();
        if manifest.time_us == Micros::EPOCH {
            return Ok((next > bounds.next_seq).then_some(bounds.oldest_seq));
        }
        let later = store.seq_at_time(manifest.time_us.next());
        let later = later.map_err(|error| Trouble::Log(error.into()))?;
        if matches!(store.read(later), Ok(Read::Gap(_))) {
            // It will be met again where it belongs.
            return Ok(None);
        }
        // Positions that a power failure skipped lead to the first event behind them.
        let behind = match store.read(next) {
            Ok(Read::Gap(gap)) if gap.cause == GapCause::Skipped => gap.next_seq,
            _ => next,
        };
        Ok(if next < bounds.oldest_seq || later == behind {
            None
        } else if later < next {
            Some(later)
        } else {
            Some(bounds.oldest_seq)
        })
    }

    fn next(&mut self, reader: &mut Reader) -> Wake {
        let (due, stopped) = (self.due, &mut self.worker.stopped);
        let read = self.worker.runtime.block_on(async {
            tokio::select! {
                biased;
                _ = stopped.changed() => Some(None),
                read = reader.next() => {
                    // The next block is read from the disk while this one is written.
                    reader.read_ahead(|run| drop(run.block().json()));
                    Some(read)
                }
                () = sleep_until(due) => None,
            }
        });
        match read {
            None => Wake::Due,
            Some(None) => Wake::Ended,
            Some(Some(Ok(Reading::Events(run)))) => Wake::Events(run),
            Some(Some(Ok(Reading::Gap(gap)))) => Wake::Gap(gap),
            Some(Some(Ok(_))) => Wake::Due,
            Some(Some(Err(error))) => Wake::Failed(error),
        }
    }

    fn write(&mut self, run: &Run) -> Result<(), Trouble> {
        // The selection works on the block's index alone, so a block without a match is never
        // unpacked. It is taken out of `self` to keep its memory across blocks.
        let block = run.block();
        let mut selection = std::mem::take(&mut self.selection);
        selection.select(run, &self.worker.settings.filter);
        if !selection.is_empty() {
            let page = match block.json() {
                Ok(page) => page,
                Err(error) => return self.unreadable(run, error.into()),
            };
            for index in &mut selection {
                let (Some(json), Some(meta)) = (page.get(index), block.meta(index)) else {
                    continue;
                };
                let part = match &mut self.part {
                    Some(part) => part,
                    None => self.begin()?,
                };
                part.line(json)
                    .map_err(FolderError::io("write the file", part.path()))?;
                let is_full = part.bytes() >= self.worker.settings.roll_bytes;
                self.covered = (Cursor::after(meta.seq), meta.time_us);
                if is_full {
                    self.roll()?;
                }
            }
        }
        self.selection = selection;
        debug_assert!(!block.times().is_empty(), "a run of an empty block");
        let time_us = block.times().last().copied().unwrap_or_default();
        self.covered = (Cursor::before(run.next_seq()), time_us);
        Ok(())
    }

    /// Notes a block whose events cannot be read although its index could.
    fn unreadable(&mut self, run: &Run, error: ReadError) -> Result<(), Trouble> {
        let gap = error.into_gap(self.covered.0.next())?;
        self.skip(run.next_seq().min(gap.next_seq), DAMAGED)
    }

    /// Notes events that are gone from the log. Events that an upstream never sent, and positions
    /// without an event or whose events come again, leave nothing out of the spool.
    fn come_to(&mut self, gap: &Gap) -> Result<(), Trouble> {
        match gap.cause {
            GapCause::Trimmed if gap.positions() > 0 => self.skip(gap.next_seq, LOST),
            GapCause::Damaged => self.skip(gap.next_seq, DAMAGED),
            GapCause::Skipped => {
                self.covered.0 = Cursor::before(gap.next_seq);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn begin(&mut self) -> Result<&mut Part, Trouble> {
        if let Some(most) = self.worker.settings.max_bytes {
            let bytes = self.folder.bytes()?;
            if bytes >= most {
                return Err(Trouble::SpoolFull { bytes, most });
            }
        }
        self.postpone();
        let part = self.folder.begin(self.worker.settings.compression)?;
        Ok(self.part.insert(part))
    }

    /// Completes the file. Without one, notes the progress alone.
    fn roll(&mut self) -> Result<(), Trouble> {
        let (cursor, time_us) = self.covered;
        if let Some(part) = self.part.take() {
            let file = self.folder.finish(part, cursor, time_us)?;
            count_file(file.events, file.bytes, cursor);
            info!(
                file = file.name,
                events = file.events,
                bytes = file.bytes,
                %cursor,
                "a file of the spool is complete"
            );
        } else if cursor > self.folder.manifest().cursor {
            self.folder.progress(cursor, time_us)?;
        }
        self.publish();
        self.postpone();
        Ok(())
    }

    /// Continues at a later position and notes the missing events before it.
    fn skip(&mut self, next: Seq, reason: &'static str) -> Result<(), Trouble> {
        self.roll()?;
        let gap = self.folder.gap(next.previous(), reason)?;
        count_gap(gap.events(), reason);
        error!(
            first = %gap.first,
            last = %gap.last,
            reason,
            "events are missing from the spool"
        );
        self.covered = (Cursor::after(gap.last), Micros::EPOCH);
        self.publish();
        Ok(())
    }

    fn postpone(&mut self) {
        self.due = Instant::now() + self.worker.settings.roll_after;
    }

    fn publish(&self) {
        let manifest = self.folder.manifest();
        self.worker.status.send_modify(|status| {
            *status = SpoolStatus::new(manifest, status.state.clone());
        });
    }
}
