use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jetwash::dict::CompressError;
use jetwash::store::{Block, Page, StoreError};
use jetwash::{Dictionary, ReadError, Seq};
use thiserror::Error;

use crate::form::binary::binary;
use crate::form::compressors::Compressors;
use crate::form::events::{Events, Made};
use crate::form::format::{Compression, Format, Shape};
use crate::form::second::{v1_with_cursor, v2};
use crate::form::verdicts::with_verdicts;

/// Makes events in formats that the log does not have, when first asked for. They are kept for a
/// while, for other subscribers that read the same events at about the same time.
///
/// It makes only what [`Format::single`] and batches ask for. The rest differs by subscriber.
#[derive(Debug)]
pub(crate) struct Recoder {
    kept: Mutex<Kept>,
    compressors: Compressors,
    max_bytes: usize,
}

impl Recoder {
    /// Keeps up to `max_bytes` of events.
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self {
            kept: Mutex::default(),
            compressors: Compressors::default(),
            max_bytes,
        }
    }

    pub(crate) const fn compressors(&self) -> &Compressors {
        &self.compressors
    }

    /// Returns a block's events without waiting for the disk or a long computation; `None` if that
    /// cannot be.
    pub(crate) fn ready(
        &self,
        block: &Block,
        format: Format,
        dictionary: Option<&Dictionary>,
    ) -> Option<Result<Events, RecodeError>> {
        let is_ready = match Stored::of(block, format, dictionary) {
            Some(Stored::Json) => block.has_json(),
            Some(Stored::Compressed) => block.has_compressed(),
            None => {
                let is_short = block.len() <= SHORT && block.has_json();
                is_short || self.kept().has(Key::new(block, format, dictionary))
            }
        };
        is_ready.then(|| self.events(block, format, dictionary))
    }

    /// Returns a block's events. It may read from the disk, and makes what has not been made.
    pub(crate) fn events(
        &self,
        block: &Block,
        format: Format,
        dictionary: Option<&Dictionary>,
    ) -> Result<Events, RecodeError> {
        debug_assert!(
            format.is_batched() || format == format.single(),
            "a subscriber makes the rest itself"
        );
        if let Some(page) = stored(block, format, dictionary)? {
            return Ok(page.clone().into());
        }
        let place = self.kept().place(Key::new(block, format, dictionary));
        // The lock is held while events are made, so that others wait for them instead of making
        // them too. The place of plain events is locked under it, and under that the place of those
        // without verdicts; never the other way round.
        let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = &*place {
            return Ok(Arc::clone(made).into());
        }
        let made = if format.compression == Compression::None {
            match format.shape {
                _ if format.verdicts => {
                    with_verdicts(block, &self.events(block, format.without_verdicts(), None)?)
                }
                Shape::Binary => binary(block)?,
                Shape::V1WithCursor => v1_with_cursor(block)?,
                Shape::V2 => v2(block)?,
                Shape::V0 | Shape::V1 => {
                    debug_assert!(false, "the log has these, or each subscriber makes its own");
                    Made::default()
                }
            }
        } else {
            let plain = self.events(block, format.plain(), None)?;
            let has = |index: usize| {
                let kind = block.kinds().get(index);
                kind.is_some_and(|kind| format.shape.has(kind.kind()))
            };
            // An event that the shape does not have is empty, so that the others keep their places.
            let events = (0..block.len()).map(|index| match plain.get(index) {
                Some(event) if has(index) => event,
                _ => &[],
            });
            if format.is_batched() {
                self.compressors.batches(format.shape, events, dictionary)?
            } else {
                self.compressors.events(events, dictionary)?
            }
        };
        let made = Arc::new(made);
        *place = Some(Arc::clone(&made));
        // Trimming looks into all places.
        drop(place);
        self.kept().trim(self.max_bytes);
        Ok(made.into())
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why events cannot be given in a format.
#[derive(Debug, Error)]
pub(crate) enum RecodeError {
    #[error(transparent)]
    Encode(#[from] CompressError),
    #[error(transparent)]
    Read(ReadError),
}

impl From<StoreError> for RecodeError {
    fn from(error: StoreError) -> Self {
        Self::Read(error.into())
    }
}

/// The part of a block that is in a format already.
enum Stored {
    Json,
    Compressed,
}

impl Stored {
    fn of(block: &Block, format: Format, dictionary: Option<&Dictionary>) -> Option<Self> {
        if format.verdicts {
            return None;
        }
        let id = dictionary.map(Dictionary::id);
        match (format.shape, format.compression) {
            (Shape::V1, Compression::None) => Some(Self::Json),
            (Shape::V1, Compression::Event) if id.is_some() && id == block.dictionary_id() => {
                Some(Self::Compressed)
            }
            _ => None,
        }
    }
}

/// The events as the block has them, if it does in this format.
fn stored<'a>(
    block: &'a Block,
    format: Format,
    dictionary: Option<&Dictionary>,
) -> Result<Option<&'a Page>, StoreError> {
    match Stored::of(block, format, dictionary) {
        Some(Stored::Json) => block.json().map(Some),
        Some(Stored::Compressed) => block.compressed(),
        None => Ok(None),
    }
}

/// Events that were made lately, the oldest first.
#[derive(Debug, Default)]
struct Kept {
    entries: VecDeque<(Key, Place)>,
}

/// A place for events, which is locked while they are being made.
type Place = Arc<Mutex<Option<Arc<Made>>>>;

/// Some events in a format. A block at the end of the log may be followed by one that starts at the
/// same position and has more events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    first_seq: Seq,
    next_seq: Seq,
    format: Format,
    dictionary: Option<u32>,
}

impl Key {
    fn new(block: &Block, format: Format, dictionary: Option<&Dictionary>) -> Self {
        // Plain events are the same whatever dictionary a subscriber has.
        let dictionary = dictionary.filter(|_| format.compression != Compression::None);
        Self {
            first_seq: block.first_seq(),
            next_seq: block.next_seq(),
            format,
            dictionary: dictionary.map(Dictionary::id),
        }
    }
}

impl Kept {
    /// Whether events are here and not being made.
    fn has(&self, key: Key) -> bool {
        let found = self.entries.iter().find(|(found, _)| *found == key);
        found.is_some_and(|(_, place)| place.try_lock().is_ok_and(|made| made.is_some()))
    }

    /// The place for a key's events, which later calls find again.
    fn place(&mut self, key: Key) -> Place {
        // The latest are asked for most.
        if let Some((_, place)) = self.entries.iter().rev().find(|(found, _)| *found == key) {
            return Arc::clone(place);
        }
        if self.entries.len() >= MAX_ENTRIES {
            self.entries.pop_front();
        }
        let place = Place::default();
        self.entries.push_back((key, Arc::clone(&place)));
        place
    }

    /// Removes the oldest until at most `max_bytes` are kept. Events that are being made count as
    /// nothing.
    fn trim(&mut self, max_bytes: usize) {
        let size = |place: &Place| {
            let made = place.try_lock().ok();
            made.map_or(0, |made| made.as_ref().map_or(0, |made| made.size()))
        };
        let mut bytes: usize = self.entries.iter().map(|(_, place)| size(place)).sum();
        while bytes > max_bytes {
            let Some((_, place)) = self.entries.pop_front() else {
                return;
            };
            bytes = bytes.saturating_sub(size(&place));
        }
    }
}

/// A block with up to this many events is recoded at once.
const SHORT: usize = 32;
/// More blocks than are read at about the same time.
const MAX_ENTRIES: usize = 128;
