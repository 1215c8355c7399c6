use std::sync::Arc;

use jetwash::dict::{CompressError, StreamCompressor};
use jetwash::event::{ToCbor, write_v0};
use jetwash::store::{Block, Page, Run};
use jetwash::{Dictionary, some_json_of};

use crate::form::content_size::content_size;
use crate::form::events::Events;
use crate::form::format::{BATCH, Compression, Format, Shape};
use crate::form::framing::{Framing, Mark};
use crate::form::line_encoder::LineEncoder;
use crate::form::messages::Messages;
use crate::form::recode_error::RecodeError;
use crate::form::recoder::{Recoder, SHORT};
use crate::websocket::{Opcode, write_frame};

/// Turns events from the log's format into one subscriber's.
///
/// For nearly all events that is the head of a message before bytes that the log already has, or
/// that are made once for all subscribers with the same format. Only `V0` and streams are made for
/// each subscriber.
pub(crate) struct Encoder {
    format: Format,
    framing: Framing,
    dictionary: Option<Dictionary>,
    recoder: Arc<Recoder>,
    stream: Option<Stream>,
    scratch: Vec<u8>,
    /// Made when first needed: most subscribers are at the end of the log, and share messages.
    lines: Option<LineEncoder>,
}

/// A zstd stream without an end.
struct Stream {
    compressor: StreamCompressor,
    /// Events for the next message.
    pending: Vec<u8>,
}

/// The format, the framing and the number of the dictionary.
pub(crate) type Sharing = (Format, Framing, Option<u32>);

impl Stream {
    fn push(&mut self, payload: &[u8], shape: Shape) {
        self.push_with(shape, 0, |pending| {
            pending.extend_from_slice(payload);
            true
        });
    }

    /// Pushes what `write` appends, unless it returns `false` or appends more than `limit`. Returns a
    /// size as [`Encoder::write`] does.
    fn push_with(
        &mut self,
        shape: Shape,
        limit: usize,
        write: impl FnOnce(&mut Vec<u8>) -> bool,
    ) -> Option<usize> {
        let start = self.pending.len();
        let is_written = write(&mut self.pending);
        if !is_written || limit > 0 && self.pending.len() - start > limit {
            self.pending.truncate(start);
            return None;
        }
        if shape != Shape::Binary {
            self.pending.push(b'\n');
        }
        Some(0)
    }
}

impl Encoder {
    pub(crate) fn new(
        format: Format,
        dictionary: Option<Dictionary>,
        recoder: Arc<Recoder>,
    ) -> Result<Self, CompressError> {
        let dictionary = dictionary.filter(|_| format.compression != Compression::None);
        let stream = match format.compression {
            Compression::Stream => Some(Stream {
                compressor: StreamCompressor::new(dictionary.as_ref())?,
                pending: Vec::new(),
            }),
            _ => None,
        };
        Ok(Self {
            format,
            framing: Framing::Websocket,
            dictionary,
            recoder,
            stream,
            scratch: Vec::new(),
            lines: None,
        })
    }

    /// Tells messages apart in another way. Only text can be in lines.
    pub(crate) fn framed(mut self, framing: Framing) -> Self {
        debug_assert!(
            framing == Framing::Websocket || self.format.is_text(),
            "lines and server-sent events are text"
        );
        self.framing = framing;
        self
    }

    /// The format, the framing and the dictionary by which subscribers share messages; `None` if this
    /// one's are made for it alone.
    pub(crate) fn sharing(&self) -> Option<Sharing> {
        let is_shared = self.format.shape != Shape::V0 && self.stream.is_none();
        let dictionary = self.dictionary.as_ref().map(Dictionary::id);
        is_shared.then_some((self.format, self.framing, dictionary))
    }

    /// Makes messages of all events of `runs`, for all subscribers that agree in
    /// [`sharing`](Self::sharing).
    pub(crate) fn shared_messages(&self, runs: &[Run]) -> Option<Messages> {
        let packing = (self.format, self.framing);
        Messages::make(runs, packing, self.dictionary.as_ref(), &self.recoder)
    }

    /// Returns a function that loads a block's events ahead of [`events`](Self::events), given how
    /// many are wanted. It may block. An error is left for `events` to find.
    pub(crate) fn loader(&self, takes_all: bool) -> impl FnOnce(&Block, usize) + Send + use<> {
        let recoder = Arc::clone(&self.recoder);
        let dictionary = self.dictionary.clone();
        let is_batched = self.format.is_batched() && takes_all;
        let format = if is_batched {
            self.format
        } else {
            self.format.single()
        };
        move |block, wanted| {
            let dictionary = dictionary.as_ref();
            // A reader that is alone at its place writes messages straight into its output, and one
            // that wants little has only that made.
            let is_own = is_own(block, format, wanted)
                || format.is_made_fast() && !recoder.is_shared(block, format, dictionary);
            if format == Format::LOG || is_own {
                drop(block.prepare_json_of(wanted));
            } else {
                drop(recoder.events(block, format, dictionary));
            }
        }
    }

    /// Returns the events of a block at these indexes, and perhaps others, for
    /// [`write`](Self::write).
    pub(crate) async fn events(
        &self,
        block: &Arc<Block>,
        indexes: &[usize],
    ) -> Result<Events, RecodeError> {
        match self.format.single() {
            Format::LOG => match some_json_of(block, indexes).await {
                Ok(page) => Ok(page.into()),
                Err(error) => Err(RecodeError::Read(error)),
            },
            format => {
                let is_own = format.is_made_fast() || is_own(block, format, indexes.len());
                if !is_own {
                    return self.load(block, format).await;
                }
                let dictionary = self.dictionary.as_ref();
                // Another reader may be making them now, which is worth waiting for.
                if self.recoder.has_place(block, format, dictionary) {
                    return self.load(block, format).await;
                }
                let lines = some_json_of(block, indexes).await;
                let lines = lines.map_err(RecodeError::Read)?;
                if format.is_made_fast() {
                    return Ok(Events::of_lines(lines));
                }
                self.compress_some(block, lines, indexes).await
            }
        }
    }

    /// Returns the same as [`events`](Self::events) if that takes neither the disk nor long.
    pub(crate) fn ready_events(&self, block: &Block) -> Option<Events> {
        let dictionary = self.dictionary.as_ref();
        self.recoder
            .ready(block, self.format.single(), dictionary)?
            .ok()
    }

    /// Whether messages are pieces of one stream. Such a message cannot be left out once it is
    /// made.
    pub(crate) const fn is_stream(&self) -> bool {
        self.stream.is_some()
    }

    /// Returns a block's events in batches of [`BATCH`], if the subscriber takes batches.
    pub(crate) async fn batches_of(
        &self,
        block: &Arc<Block>,
    ) -> Result<Option<Events>, RecodeError> {
        if self.format.is_batched() {
            self.load(block, self.format).await.map(Some)
        } else {
            Ok(None)
        }
    }

    /// Appends one event as a message, unless its payload is empty or larger than `limit`; 0 stands
    /// for no limit. Returns the size of the payload, which is 0 as long as it waits for
    /// [`finish`](Self::finish).
    pub(crate) fn write(
        &mut self,
        event: &[u8],
        mark: Mark,
        limit: usize,
        out: &mut Vec<u8>,
    ) -> Option<usize> {
        let payload = match self.format.shape {
            Shape::V0 => {
                self.scratch.clear();
                // A damaged line, which is empty, stays as it is.
                let converted = write_v0(event, &mut self.scratch).is_ok();
                if converted {
                    self.scratch.as_slice()
                } else {
                    event
                }
            }
            _ => event,
        };
        if payload.is_empty() {
            return None;
        }
        if limit > 0 && self.limited_size(payload) > limit {
            return None;
        }
        if let Some(stream) = &mut self.stream {
            stream.push(payload, self.format.shape);
            return Some(0);
        }
        let cursor = mark.cursor(self.format.shape);
        self.framing
            .write(opcode(self.format), cursor, payload, out);
        Some(payload.len())
    }

    /// Appends the event at an index of [`events`](Self::events) as [`write`](Self::write) does.
    pub(crate) fn write_from(
        &mut self,
        events: &Events,
        (index, mark): (usize, Mark),
        limit: usize,
        out: &mut Vec<u8>,
    ) -> Option<usize> {
        let event = events.get(index)?;
        if !events.are_lines() {
            return self.write(event, mark, limit, out);
        }
        // An event that some_json_of was not asked for, or whose line is damaged.
        if event.is_empty() {
            return None;
        }
        let shape = self.format.shape;
        let lines = self.lines.get_or_insert_with(|| LineEncoder::new(shape));
        if let Some(stream) = &mut self.stream {
            return stream.push_with(shape, limit, |out| lines.encode(event, mark.seq, out));
        }
        let begun = self.framing.begin(mark.cursor(shape), out);
        if !lines.encode(event, mark.seq, out) {
            out.truncate(begun.start);
            return None;
        }
        let size = self.framing.end(opcode(self.format), begun, out);
        if limit > 0 && size > limit {
            out.truncate(begun.start);
            return None;
        }
        Some(size)
    }

    /// The size of a payload that a limit is compared with: in version 1 that of what is sent, in
    /// version 2 that of the message before it is compressed.
    fn limited_size(&self, payload: &[u8]) -> usize {
        if self.format.shape == Shape::V2 && self.format.compression != Compression::None {
            let size = content_size(payload);
            debug_assert!(size.is_some(), "a frame made here has its size");
            return size.map_or(payload.len(), |size| size as usize);
        }
        payload.len()
    }

    /// The shape that its messages have.
    pub(crate) const fn shape(&self) -> Shape {
        self.format.shape
    }

    pub(crate) const fn framing(&self) -> Framing {
        self.framing
    }

    /// Appends a message that is not an event, given in JSON. The name is for server-sent events.
    pub(crate) fn write_notice(
        &mut self,
        name: &str,
        notice: &str,
        out: &mut Vec<u8>,
    ) -> Result<(), CompressError> {
        let mut binary = Vec::new();
        let notice = match self.format.shape {
            Shape::Binary => {
                let written = ToCbor::new().encode(notice, &mut binary);
                debug_assert!(written.is_ok(), "a notice has no part that CBOR lacks");
                written.map_or(notice.as_bytes(), |()| &binary)
            }
            _ => notice.as_bytes(),
        };
        match self.format.compression {
            Compression::None if self.format.is_text() => {
                self.framing.write_notice(name, notice, out);
            }
            Compression::None => write_frame(Opcode::Binary, notice, out),
            Compression::Stream => {
                if let Some(stream) = &mut self.stream {
                    stream.push(notice, self.format.shape);
                }
            }
            // Like an event, so that a client decompresses every message in the same way.
            Compression::Event | Compression::Batch => {
                let mut compressed = Vec::new();
                let compressors = self.recoder.compressors();
                compressors.single(notice, self.dictionary.as_ref(), &mut compressed)?;
                write_frame(Opcode::Binary, &compressed, out);
            }
        }
        Ok(())
    }

    /// How many bytes wait for [`finish`](Self::finish).
    pub(crate) fn pending(&self) -> usize {
        self.stream
            .as_ref()
            .map_or(0, |stream| stream.pending.len())
    }

    /// Appends the message that carries the events written to a stream, and returns its size.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) -> Result<usize, CompressError> {
        let Some(stream) = &mut self.stream else {
            return Ok(0);
        };
        if stream.pending.is_empty() {
            return Ok(0);
        }
        self.scratch.clear();
        stream
            .compressor
            .compress(&stream.pending, &mut self.scratch)?;
        stream.pending.clear();
        write_frame(Opcode::Binary, &self.scratch, out);
        Ok(self.scratch.len())
    }

    /// Makes messages of few events, on a thread that may take its time if they are many.
    async fn compress_some(
        &self,
        block: &Arc<Block>,
        lines: Page,
        indexes: &[usize],
    ) -> Result<Events, RecodeError> {
        let (dictionary, shape) = (self.dictionary.clone(), self.format.shape);
        if indexes.len() <= SHORT {
            return self
                .recoder
                .some(block, (&lines, shape), indexes, dictionary.as_ref());
        }
        let (recoder, block) = (Arc::clone(&self.recoder), Arc::clone(block));
        let (indexes, may_block) = (indexes.to_vec(), block.may_block());
        let make = move || recoder.some(&block, (&lines, shape), &indexes, dictionary.as_ref());
        match jetwash::run_blocking(may_block, make).await {
            Ok(events) => events,
            Err(error) => Err(RecodeError::Read(error.into())),
        }
    }

    async fn load(&self, block: &Arc<Block>, format: Format) -> Result<Events, RecodeError> {
        let dictionary = self.dictionary.as_ref();
        if let Some(events) = self.recoder.ready(block, format, dictionary) {
            return events;
        }
        let (recoder, block) = (Arc::clone(&self.recoder), Arc::clone(block));
        let (dictionary, may_block) = (self.dictionary.clone(), block.may_block());
        let load = move || recoder.events(&block, format, dictionary.as_ref());
        match jetwash::run_blocking(may_block, load).await {
            Ok(events) => events,
            Err(error) => Err(RecodeError::Read(error.into())),
        }
    }
}

/// The mark of its websocket frames.
fn opcode(format: Format) -> Opcode {
    if format.is_text() {
        Opcode::Text
    } else {
        Opcode::Binary
    }
}

/// Whether a reader that wants `events` of a block has only them made, for itself.
fn is_own(block: &Block, format: Format, wanted: usize) -> bool {
    format.is_compressed_fast() && wanted <= block.len() / FEW
}

/// Returns the end of the batch that begins with an event of a block of `length` events; `None` if
/// no batch begins there, or it reaches beyond `end`.
pub(crate) fn batch_end(index: usize, length: usize, end: usize) -> Option<usize> {
    let batch_end = (index + BATCH).min(length);
    (index.is_multiple_of(BATCH) && batch_end <= end).then_some(batch_end)
}

/// Up to one event in this number is made alone: to make all of them would cost more, unless others
/// want the rest.
const FEW: usize = 4;
