use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use jetwash::dict::{CompressError, Compressor};
use jetwash::event::BinaryEncoder;
use jetwash::store::{Block, Page, StoreError};
use jetwash::{Dictionary, ReadError};
use metrics::counter;
use thiserror::Error;
use tracing::debug;

/// A form in which events may be asked for. What it gives is the same for all who ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Form {
    pub(crate) content: Content,
    pub(crate) packing: Packing,
}

/// What an event is before it is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// A line of JSON.
    Json,
    /// A binary event.
    Binary,
}

/// What is put around events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    /// Nothing.
    Plain,
    /// A zstd frame around each, made with this dictionary or with none.
    Frames(Option<u32>),
    /// A zstd frame around each [`BATCH`] events of a block.
    Batches(Option<u32>),
}

/// Events in forms that the log does not have: made when first asked for, and kept for a while, so
/// that whoever reads the same events at about the same time shares them.
#[derive(Debug)]
pub(crate) struct Recoder {
    kept: Mutex<Kept>,
    /// Encoders at rest, with the number of their dictionary.
    encoders: Mutex<Vec<(Option<u32>, Compressor)>>,
    max_bytes: usize,
}

/// Events of a block in one form.
#[derive(Clone)]
pub(crate) enum Events {
    /// As the log has them.
    Stored(Page),
    /// As they were made from that.
    Made(Arc<Made>),
}

/// What was made, all in one piece of memory.
#[derive(Debug)]
pub(crate) struct Made {
    bytes: Bytes,
    ends: Vec<u32>,
}

impl Recoder {
    /// Keeps so many bytes of what it has made.
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self {
            kept: Mutex::default(),
            encoders: Mutex::default(),
            max_bytes,
        }
    }

    /// A block's events in a form, without waiting for the disk or a long computation; `None` if
    /// it takes either.
    pub(crate) fn ready(
        &self,
        block: &Block,
        form: Form,
        dictionary: Option<&Dictionary>,
    ) -> Option<Result<Events, RecodeError>> {
        let is_ready = match stored_as(block, form) {
            Some(Stored::Json) => block.has_json(),
            Some(Stored::Frames) => block.has_compressed(),
            None => {
                let is_short = block.len() <= SHORT && block.has_json();
                is_short || self.kept().has(Key::new(block, form))
            }
        };
        is_ready.then(|| self.events(block, form, dictionary))
    }

    /// A block's events in a form. It may read from the disk, and make what has not been made.
    pub(crate) fn events(
        &self,
        block: &Block,
        form: Form,
        dictionary: Option<&Dictionary>,
    ) -> Result<Events, RecodeError> {
        match stored_as(block, form) {
            Some(Stored::Json) => return Ok(Events::Stored(block.json()?.clone())),
            Some(Stored::Frames) => {
                if let Some(page) = block.compressed()? {
                    return Ok(Events::Stored(page.clone()));
                }
            }
            None => {}
        }
        let place = self.kept().place(Key::new(block, form));
        // Whoever comes while they are being made waits for them.
        let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = &*place {
            return Ok(Events::Made(Arc::clone(made)));
        }
        let made = if form.packing == Packing::Plain {
            binary(block)?
        } else {
            let plain = Form {
                packing: Packing::Plain,
                ..form
            };
            let plain = self.events(block, plain, None)?;
            let events = (0..block.len()).filter_map(|index| plain.get(index));
            match form.packing {
                Packing::Batches(_) => self.batches(form.content, events, dictionary)?,
                Packing::Frames(_) | Packing::Plain => self.frames(events, dictionary)?,
            }
        };
        let made = Arc::new(made);
        *place = Some(Arc::clone(&made));
        drop(place);
        self.kept().trim(self.max_bytes);
        Ok(Events::Made(made))
    }

    /// Frames of up to [`BATCH`] events each: lines are divided by newlines, binary events follow
    /// each other.
    pub(crate) fn batches<'a>(
        &self,
        content: Content,
        events: impl IntoIterator<Item = &'a [u8]>,
        dictionary: Option<&Dictionary>,
    ) -> Result<Made, CompressError> {
        let mut events = events.into_iter();
        let mut batch = Vec::new();
        self.encode(dictionary, |encoder, bytes| {
            batch.clear();
            let mut is_end = true;
            for event in events.by_ref().take(BATCH) {
                is_end = false;
                if content == Content::Json && !batch.is_empty() {
                    batch.push(b'\n');
                }
                batch.extend_from_slice(event);
            }
            if !batch.is_empty() {
                encoder.compress(&batch, bytes)?;
            }
            Ok(!is_end)
        })
    }

    /// A frame for each event.
    fn frames<'a>(
        &self,
        events: impl IntoIterator<Item = &'a [u8]>,
        dictionary: Option<&Dictionary>,
    ) -> Result<Made, CompressError> {
        let mut events = events.into_iter();
        self.encode(dictionary, |encoder, bytes| match events.next() {
            Some([]) => Ok(true),
            Some(event) => encoder.compress(event, bytes).map(|()| true),
            None => Ok(false),
        })
    }

    /// Makes frames for as long as there are any.
    fn encode(
        &self,
        dictionary: Option<&Dictionary>,
        mut next: impl FnMut(&mut Compressor, &mut Vec<u8>) -> Result<bool, CompressError>,
    ) -> Result<Made, CompressError> {
        let mut encoder = self.borrow_encoder(dictionary);
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        while next(&mut encoder, &mut bytes)? {
            ends.push(bytes.len() as u32);
        }
        self.return_encoder(dictionary, encoder);
        bytes.shrink_to_fit();
        Ok(Made {
            bytes: bytes.into(),
            ends,
        })
    }

    /// One frame of its own, for what is no event.
    pub(crate) fn frame(
        &self,
        content: &[u8],
        dictionary: Option<&Dictionary>,
        out: &mut Vec<u8>,
    ) -> Result<(), CompressError> {
        let mut encoder = self.borrow_encoder(dictionary);
        encoder.compress(content, out)?;
        self.return_encoder(dictionary, encoder);
        Ok(())
    }

    fn borrow_encoder(&self, dictionary: Option<&Dictionary>) -> Compressor {
        let id = dictionary.map(Dictionary::id);
        let mut encoders = self.encoders();
        match encoders.iter().position(|(found, _)| *found == id) {
            Some(index) => encoders.swap_remove(index).1,
            None => dictionary.map_or_else(
                || Compressor::without_dictionary(LEVEL),
                Dictionary::compressor,
            ),
        }
    }

    fn return_encoder(&self, dictionary: Option<&Dictionary>, encoder: Compressor) {
        let mut encoders = self.encoders();
        if encoders.len() >= MAX_ENCODERS {
            encoders.remove(0);
        }
        encoders.push((dictionary.map(Dictionary::id), encoder));
    }

    fn encoders(&self) -> MutexGuard<'_, Vec<(Option<u32>, Compressor)>> {
        self.encoders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Events {
    /// The event at an index of the block, or the batch of that number. It may be empty, if there
    /// is no such event in this form.
    #[inline]
    pub(crate) fn get(&self, index: usize) -> Option<&[u8]> {
        match self {
            Self::Stored(page) => page.get(index),
            Self::Made(made) => made.get(index),
        }
    }
}

impl Made {
    pub(crate) fn get(&self, index: usize) -> Option<&[u8]> {
        let start = match index.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => 0,
        };
        self.bytes
            .get(start as usize..*self.ends.get(index)? as usize)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.ends.len()).filter_map(|index| self.get(index))
    }
}

/// Why events cannot be had in a form.
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

/// What of a block is already in a form.
enum Stored {
    Json,
    Frames,
}

fn stored_as(block: &Block, form: Form) -> Option<Stored> {
    match (form.content, form.packing) {
        (Content::Json, Packing::Plain) => Some(Stored::Json),
        (Content::Json, Packing::Frames(id)) if id.is_some() && id == block.dictionary_id() => {
            Some(Stored::Frames)
        }
        _ => None,
    }
}

/// A block's events in binary. One that cannot be written so, which no relay has caused yet, is
/// counted and left empty.
fn binary(block: &Block) -> Result<Made, StoreError> {
    let json = block.json()?;
    let mut encoder = BinaryEncoder::new();
    let (mut bytes, mut ends) = (Vec::new(), Vec::with_capacity(block.len()));
    for line in (0..block.len()).filter_map(|index| json.get(index)) {
        let line = str::from_utf8(line).unwrap_or_default();
        if let Err(error) = encoder.encode(line, &mut bytes) {
            counter!("jetwash_dropped_total", "reason" => "not_binary").increment(1);
            debug!(%error, "an event cannot be written in binary");
        }
        ends.push(bytes.len() as u32);
    }
    bytes.shrink_to_fit();
    Ok(Made {
        bytes: bytes.into(),
        ends,
    })
}

/// What was made of late, the oldest first.
#[derive(Debug, Default)]
struct Kept {
    entries: VecDeque<(Key, Place)>,
}

/// Where something is kept, and locked while it is being made.
type Place = Arc<Mutex<Option<Arc<Made>>>>;

/// Some events in a form. A block at the end of the log may be followed by one that starts at the
/// same position and has more events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    first_seq: u64,
    next_seq: u64,
    form: Form,
}

impl Key {
    const fn new(block: &Block, form: Form) -> Self {
        Self {
            first_seq: block.first_seq(),
            next_seq: block.next_seq(),
            form,
        }
    }
}

impl Kept {
    /// Whether there is something for the key that does not have to be waited for.
    fn has(&self, key: Key) -> bool {
        let found = self.entries.iter().find(|(found, _)| *found == key);
        found.is_some_and(|(_, place)| place.try_lock().is_ok_and(|made| made.is_some()))
    }

    /// The place for what a key names, which whoever comes next finds.
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

    /// Lets go of the oldest until no more than so many bytes are kept. What is being made has none
    /// yet.
    fn trim(&mut self, max_bytes: usize) {
        let size = |place: &Place| {
            let made = place.try_lock().ok();
            made.map_or(0, |made| made.as_ref().map_or(0, |made| made.bytes.len()))
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

/// How many events are in one frame at most, when they are asked for in batches.
pub(crate) const BATCH: usize = 64;
/// A block of so few events is dealt with at once.
const SHORT: usize = 32;
const MAX_ENCODERS: usize = 4;
/// More blocks than are read at about the same time.
const MAX_ENTRIES: usize = 128;
/// The level of zstd for events of servers that have no dictionary.
const LEVEL: i32 = 1;
