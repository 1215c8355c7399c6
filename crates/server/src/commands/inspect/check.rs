use std::error::Error;

use indicatif::ProgressBar;
use jetwash::store::{FaultyFile, Read, Seq, Store, StoreCopy, StoreError};

use crate::progress;

/// The outcome of reading a whole log.
#[derive(Debug, Default)]
pub(super) struct Checked {
    /// Files that are missing or damaged.
    pub(super) files: Vec<FaultyFile>,
    /// Events that could be read.
    pub(super) events: u64,
    /// The positions of those that could not, up to [`MAX_RANGES`] of them, and why.
    pub(super) damaged: Vec<(Seq, Seq, String)>,
    pub(super) damaged_events: u64,
}

/// Reads all files, and then all events.
pub(super) fn check(copy: &StoreCopy) -> Result<Checked, Box<dyn Error>> {
    let bar = progress::bar(copy.file_bytes()?);
    let files = copy.check(|bytes| advance(bar.as_ref(), bytes, "bytes of files"));
    if let Some(bar) = &bar {
        bar.finish_and_clear();
    }
    let mut checked = Checked {
        files: files?,
        ..Checked::default()
    };
    read_all(copy.store(), &mut checked)?;
    Ok(checked)
}

impl Checked {
    pub(super) fn is_sound(&self) -> bool {
        self.files.is_empty() && self.damaged.is_empty()
    }

    fn lose(&mut self, first: Seq, next: Seq, reason: String) {
        self.damaged_events += next.since(first);
        if self.damaged.len() < MAX_RANGES {
            self.damaged.push((first, next, reason));
        }
    }
}

fn read_all(store: &Store, checked: &mut Checked) -> Result<(), StoreError> {
    let bounds = store.bounds();
    let bar = progress::bar(bounds.next_seq.since(bounds.oldest_seq));
    let mut at = bounds.oldest_seq;
    loop {
        let next = match read(store, at) {
            Ok(Read::Events(run)) => {
                checked.events += run.next_seq().since(at);
                run.next_seq()
            }
            Ok(Read::Gap(gap)) => {
                if gap.cause == jetwash::GapCause::Damaged {
                    checked.lose(at, gap.next_seq, gap.to_string());
                }
                gap.next_seq
            }
            // One block: those behind it can be read.
            Err(StoreError::Corrupt { next_seq, what, .. }) => {
                checked.lose(at, next_seq, what.to_owned());
                next_seq
            }
            Ok(_) => break,
            Err(error) => return Err(error),
        };
        if next <= at {
            break;
        }
        advance(bar.as_ref(), next.since(at), "events");
        at = next;
    }
    if let Some(bar) = &bar {
        bar.finish_and_clear();
    }
    Ok(())
}

/// Reads events with their content, which has a checksum of its own.
fn read(store: &Store, at: Seq) -> Result<Read, StoreError> {
    let read = store.read(at)?;
    if let Read::Events(run) = &read
        && run.block().compressed()?.is_none()
    {
        run.block().json()?;
    }
    Ok(read)
}

fn advance(bar: Option<&ProgressBar>, by: u64, what: &'static str) {
    if let Some(bar) = bar {
        bar.set_message(what);
        bar.inc(by);
    }
}

const MAX_RANGES: usize = 1000;
