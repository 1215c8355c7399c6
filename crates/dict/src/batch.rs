use thiserror::Error;

use crate::decoder::{DecodeError, Decoder};
use crate::encoder::{EncodeError, Encoder};

/// Makes one zstd frame of several events: their lines, with a newline between two of them and
/// none after the last.
///
/// What the events have in common is then said once, so sixteen together take two thirds of what
/// they take as frames of their own.
///
/// # Examples
///
/// ```
/// use jetwash_dict::{BatchDecoder, BatchEncoder, Encoder, Decoder};
///
/// let mut encoder = BatchEncoder::new(Encoder::without_dictionary(1));
/// let mut frame = Vec::new();
/// encoder.encode([&b"{\"a\":1}"[..], b"{\"a\":2}"], &mut frame)?;
///
/// let mut decoder = BatchDecoder::new(Decoder::without_dictionary());
/// let events: Vec<_> = decoder.decode(&frame, 1000)?.collect();
/// assert_eq!(events, [&b"{\"a\":1}"[..], b"{\"a\":2}"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct BatchEncoder {
    encoder: Encoder,
    lines: Vec<u8>,
}

impl BatchEncoder {
    /// One that compresses as `encoder` does.
    #[must_use]
    pub const fn new(encoder: Encoder) -> Self {
        Self {
            encoder,
            lines: Vec::new(),
        }
    }

    /// Appends one frame that holds these events.
    ///
    /// # Errors
    ///
    /// When there is none, or one is empty or has a newline in it, which no event as compact JSON
    /// has; or when zstd runs out of memory. `out` is then left as it was.
    pub fn encode<'a>(
        &mut self,
        events: impl IntoIterator<Item = &'a [u8]>,
        out: &mut Vec<u8>,
    ) -> Result<(), BatchError> {
        self.lines.clear();
        for event in events {
            if event.is_empty() || event.contains(&b'\n') {
                return Err(BatchError::Line);
            }
            if !self.lines.is_empty() {
                self.lines.push(b'\n');
            }
            self.lines.extend_from_slice(event);
        }
        if self.lines.is_empty() {
            return Err(BatchError::Empty);
        }
        let outcome = self.encoder.encode(&self.lines, out);
        self.lines.shrink_to(KEPT);
        Ok(outcome?)
    }
}

/// Takes the events out of such frames, and out of those of a single event.
#[derive(Debug)]
pub struct BatchDecoder {
    decoder: Decoder,
    lines: Vec<u8>,
}

impl BatchDecoder {
    /// One that reads what `decoder` does.
    #[must_use]
    pub const fn new(decoder: Decoder) -> Self {
        Self {
            decoder,
            lines: Vec::new(),
        }
    }

    /// The events in a frame, if they are at most `limit` bytes together. No more memory is taken
    /// than that.
    ///
    /// # Errors
    ///
    /// When `frame` is not one whole frame of this decoder's dictionary, or holds more.
    pub fn decode(
        &mut self,
        frame: &[u8],
        limit: usize,
    ) -> Result<impl Iterator<Item = &[u8]>, DecodeError> {
        self.lines.clear();
        self.lines.shrink_to(KEPT);
        self.decoder.decode(frame, limit, &mut self.lines)?;
        let lines = self.lines.split(|byte| *byte == b'\n');
        Ok(lines.filter(|line| !line.is_empty()))
    }
}

/// Why events do not make a batch.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum BatchError {
    /// There are none.
    #[error("a batch holds at least one event")]
    Empty,
    /// It could not be compressed.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// An event is empty, or has a newline in it.
    #[error("an event of a batch is a line: not empty, and without a newline")]
    Line,
}

/// The room that is kept from one batch to the next: more than nearly all need.
const KEPT: usize = 256 << 10;
