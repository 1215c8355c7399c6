use std::sync::Arc;

use jetwash::dict;
use jetwash::event::write_v0;
use jetwash::store::{Block, Page};
use jetwash::{Dictionary, ReadError, frames_of, json_of};

use crate::live::{Batch, Messages};
use crate::query::Format;
use crate::websocket::{Opcode, write_frame};

/// Turns events from the log's form into the subscriber's.
///
/// For nearly all events that is a frame's head before bytes that the log already has. The other
/// cases are the first shape, and compressed events of a block that was written with another
/// dictionary or none.
pub(crate) struct Encoding {
    format: Format,
    dictionary: Option<Dictionary>,
    /// Made when first needed, and then kept: most subscribers never need one.
    encoder: Option<dict::Encoder>,
    scratch: Vec<u8>,
}

/// A block's events in the form that comes closest to the subscriber's.
pub(crate) struct EncodedPage {
    pub(crate) events: Page,
    pub(crate) is_compressed: bool,
}

impl Encoding {
    pub(crate) fn new(format: Format, dictionary: Option<&Dictionary>) -> Self {
        let dictionary = dictionary.filter(|_| format == Format::Zstd).cloned();
        Self {
            format,
            dictionary,
            encoder: None,
            scratch: Vec::new(),
        }
    }

    /// The messages of a whole batch, if they are the same for this subscriber as for others.
    pub(crate) fn shared_messages<'a>(&self, batch: &'a Batch) -> Option<&'a Messages> {
        match (self.format, &self.dictionary) {
            (Format::Json, _) => batch.text(),
            (Format::Zstd, Some(dictionary)) => batch.frames(dictionary.id()),
            (Format::JsonV0 | Format::Zstd, _) => None,
        }
    }

    /// What loads a block's events in the form that [`page`](Self::page) will give, where that may
    /// block. An error is left to be found there.
    pub(crate) fn loader(&self) -> impl FnOnce(&Block) + Send + use<> {
        let id = self.dictionary.as_ref().map(Dictionary::id);
        move |block| {
            if id.is_some() && id == block.dictionary_id() {
                drop(block.frames());
            } else {
                drop(block.json());
            }
        }
    }

    pub(crate) async fn page(&self, block: &Arc<Block>) -> Result<EncodedPage, ReadError> {
        let id = self.dictionary.as_ref().map(Dictionary::id);
        if id.is_some()
            && id == block.dictionary_id()
            && let Some(events) = frames_of(block).await?
        {
            return Ok(EncodedPage {
                events,
                is_compressed: true,
            });
        }
        Ok(EncodedPage {
            events: json_of(block).await?,
            is_compressed: false,
        })
    }

    /// Appends one event as a message, unless that is larger than `limit`; 0 stands for no limit.
    /// Gives the size of the message, 0 if there is none.
    pub(crate) fn write(
        &mut self,
        is_compressed: bool,
        event: &[u8],
        limit: usize,
        out: &mut Vec<u8>,
    ) -> usize {
        let (opcode, payload) = match self.format {
            Format::Json => (Opcode::Text, event),
            Format::JsonV0 => {
                self.scratch.clear();
                // What is not an event, such as a notice, has but one shape.
                let converted = write_v0(event, &mut self.scratch).is_ok();
                (
                    Opcode::Text,
                    if converted {
                        self.scratch.as_slice()
                    } else {
                        event
                    },
                )
            }
            Format::Zstd if is_compressed => (Opcode::Binary, event),
            Format::Zstd => {
                self.compress(event);
                (Opcode::Binary, self.scratch.as_slice())
            }
        };
        if payload.is_empty() || (limit > 0 && payload.len() > limit) {
            return 0;
        }
        write_frame(opcode, payload, out);
        payload.len()
    }

    fn compress(&mut self, event: &[u8]) {
        let dictionary = self.dictionary.as_ref();
        let encoder = self.encoder.get_or_insert_with(|| {
            dictionary.map_or_else(
                || dict::Encoder::without_dictionary(LEVEL),
                Dictionary::encoder,
            )
        });
        self.scratch.clear();
        if encoder.encode(event, &mut self.scratch).is_err() {
            // It cannot fail but for lack of memory; then no message is better than an empty one.
            self.scratch.clear();
        }
    }
}

/// The level of zstd for events of servers that have no dictionary.
const LEVEL: i32 = 1;
