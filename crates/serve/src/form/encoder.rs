use std::sync::Arc;

use jetwash::dict::{CompressError, StreamCompressor};
use jetwash::event::{ToCbor, write_v0};
use jetwash::store::Block;
use jetwash::{Dictionary, some_json_of};

use crate::form::recoder::{BATCH, Content, Events, Form, Packing, RecodeError, Recoder};
use crate::subscriber::query::{Compression, Format, Shape};
use crate::tail::batch::{Batch, Messages};
use crate::websocket::{Opcode, write_frame};

/// Turns events from the log's form into the subscriber's.
///
/// For nearly all events that is a frame's head before bytes that the log already has, or that are
/// made once for all who want them so. Only the first shape and streams are made for each
/// subscriber.
pub(crate) struct Encoding {
    format: Format,
    dictionary: Option<Dictionary>,
    recoder: Arc<Recoder>,
    stream: Option<Stream>,
    scratch: Vec<u8>,
}

/// What one subscriber gets as one zstd frame without an end.
struct Stream {
    encoder: StreamCompressor,
    /// Lines that the next piece will have.
    pending: Vec<u8>,
}

impl Encoding {
    pub(crate) fn new(
        format: Format,
        dictionary: Option<Dictionary>,
        recoder: Arc<Recoder>,
    ) -> Result<Self, CompressError> {
        let dictionary = dictionary.filter(|_| format.compression != Compression::None);
        let stream = match format.compression {
            Compression::Stream => Some(Stream {
                encoder: StreamCompressor::new(dictionary.as_ref())?,
                pending: Vec::new(),
            }),
            _ => None,
        };
        Ok(Self {
            format,
            dictionary,
            recoder,
            stream,
            scratch: Vec::new(),
        })
    }

    /// The messages of a whole batch, if they are the same for this subscriber as for others.
    pub(crate) fn shared_messages(&self, batch: &Batch) -> Option<Messages> {
        if self.format.shape == Shape::First || self.stream.is_some() {
            return None;
        }
        let form = self.batches().unwrap_or_else(|| self.form());
        batch.messages(form, self.dictionary.as_ref(), &self.recoder)
    }

    /// What loads so many of a block's events for [`events`](Self::events), where that may block.
    /// An error is left to be found there.
    pub(crate) fn loader(&self, takes_all: bool) -> impl FnOnce(&Block, usize) + Send + use<> {
        let recoder = Arc::clone(&self.recoder);
        let dictionary = self.dictionary.clone();
        let form = self.batches().filter(|_| takes_all);
        let form = form.unwrap_or_else(|| self.form());
        move |block, wanted| {
            if form == STORED {
                drop(block.prepare_json_of(wanted));
            } else {
                drop(recoder.events(block, form, dictionary.as_ref()));
            }
        }
    }

    /// The events of a block that have these indexes, and perhaps others, for
    /// [`write`](Self::write).
    pub(crate) async fn events(
        &self,
        block: &Arc<Block>,
        indexes: &[usize],
    ) -> Result<Events, RecodeError> {
        match self.form() {
            STORED => match some_json_of(block, indexes).await {
                Ok(page) => Ok(Events::Stored(page)),
                Err(error) => Err(RecodeError::Read(error)),
            },
            form => self.load(block, form).await,
        }
    }

    /// As [`events`](Self::events), if that takes neither the disk nor long; else `None`.
    pub(crate) fn ready_events(&self, block: &Block) -> Option<Events> {
        let dictionary = self.dictionary.as_ref();
        self.recoder.ready(block, self.form(), dictionary)?.ok()
    }

    /// Whether messages are pieces of one stream: once made, one cannot be left out.
    pub(crate) const fn is_stream(&self) -> bool {
        self.stream.is_some()
    }

    /// A block's events in batches of [`BATCH`], if the subscriber takes such.
    pub(crate) async fn batches_of(
        &self,
        block: &Arc<Block>,
    ) -> Result<Option<Events>, RecodeError> {
        match self.batches() {
            Some(form) => self.load(block, form).await.map(Some),
            None => Ok(None),
        }
    }

    /// Appends one event as a message, unless that is larger than `limit`; 0 stands for no limit.
    /// Gives the size of the message, `None` if there is none.
    pub(crate) fn write(&mut self, event: &[u8], limit: usize, out: &mut Vec<u8>) -> Option<usize> {
        let (opcode, payload) = match (self.format.shape, self.format.compression) {
            (Shape::First, _) => {
                self.scratch.clear();
                // What is not an event, such as a notice, has but one shape.
                let converted = write_v0(event, &mut self.scratch).is_ok();
                let payload = if converted {
                    self.scratch.as_slice()
                } else {
                    event
                };
                (Opcode::Text, payload)
            }
            (Shape::Current, Compression::None) => (Opcode::Text, event),
            (Shape::Current | Shape::Binary, _) => (Opcode::Binary, event),
        };
        if payload.is_empty() {
            return None;
        }
        if limit > 0 && payload.len() > limit {
            return None;
        }
        if let Some(stream) = &mut self.stream {
            stream.pending.extend_from_slice(payload);
            if self.format.shape != Shape::Binary {
                stream.pending.push(b'\n');
            }
            return Some(0);
        }
        write_frame(opcode, payload, out);
        Some(payload.len())
    }

    /// Appends what is not an event, given in JSON.
    pub(crate) fn write_notice(
        &mut self,
        notice: &str,
        out: &mut Vec<u8>,
    ) -> Result<(), CompressError> {
        let mut binary = Vec::new();
        let notice = match self.format.shape {
            // It has no part that could not be written so.
            Shape::Binary if ToCbor::new().encode(notice, &mut binary).is_ok() => &binary,
            _ => notice.as_bytes(),
        };
        let is_in_frames = matches!(
            self.format.compression,
            Compression::Events | Compression::Batches
        );
        if !is_in_frames {
            self.write(notice, 0, out);
            return Ok(());
        }
        let mut frame = Vec::new();
        let dictionary = self.dictionary.as_ref();
        self.recoder.frame(notice, dictionary, &mut frame)?;
        write_frame(Opcode::Binary, &frame, out);
        Ok(())
    }

    /// How many bytes wait for [`finish`](Self::finish).
    pub(crate) fn pending(&self) -> usize {
        self.stream
            .as_ref()
            .map_or(0, |stream| stream.pending.len())
    }

    /// Appends the message that carries what has been written to a stream, and gives its size.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) -> Result<usize, CompressError> {
        let Some(stream) = &mut self.stream else {
            return Ok(0);
        };
        if stream.pending.is_empty() {
            return Ok(0);
        }
        self.scratch.clear();
        stream
            .encoder
            .compress(&stream.pending, &mut self.scratch)?;
        stream.pending.clear();
        write_frame(Opcode::Binary, &self.scratch, out);
        Ok(self.scratch.len())
    }

    async fn load(&self, block: &Arc<Block>, form: Form) -> Result<Events, RecodeError> {
        let dictionary = self.dictionary.as_ref();
        if let Some(events) = self.recoder.ready(block, form, dictionary) {
            return events;
        }
        let (recoder, block) = (Arc::clone(&self.recoder), Arc::clone(block));
        let dictionary = self.dictionary.clone();
        let load = move || recoder.events(&block, form, dictionary.as_ref());
        match tokio::task::spawn_blocking(load).await {
            Ok(events) => events,
            Err(error) => Err(RecodeError::Read(error.into())),
        }
    }

    /// The form of single events.
    fn form(&self) -> Form {
        let packing = match self.format.compression {
            Compression::Events | Compression::Batches => Packing::Frames(self.dictionary_id()),
            Compression::None | Compression::Stream => Packing::Plain,
        };
        self.packed(packing)
    }

    fn batches(&self) -> Option<Form> {
        let is_batched = self.format.compression == Compression::Batches;
        is_batched.then(|| self.packed(Packing::Batches(self.dictionary_id())))
    }

    const fn packed(&self, packing: Packing) -> Form {
        let content = match self.format.shape {
            Shape::Binary => Content::Binary,
            Shape::Current | Shape::First => Content::Json,
        };
        Form { content, packing }
    }

    fn dictionary_id(&self) -> Option<u32> {
        self.dictionary.as_ref().map(Dictionary::id)
    }
}

/// Events as the log gives them, one by one.
const STORED: Form = Form {
    content: Content::Json,
    packing: Packing::Plain,
};

/// Where the batch ends that begins with an event of a block of `length` events, if one does and
/// none of its events is at `end` or after it.
pub(crate) fn batch_end(index: usize, length: usize, end: usize) -> Option<usize> {
    let batch_end = (index + BATCH).min(length);
    (index.is_multiple_of(BATCH) && batch_end <= end).then_some(batch_end)
}
