use thiserror::Error;

use crate::compressor::{CompressError, Compressor};
use crate::decompressor::{DecompressError, Decompressor};

/// Makes one zstd frame of several events: their lines, with a newline between two of them and
/// none after the last.
///
/// What the events have in common is then said once, so sixteen together take two thirds of what
/// they take as frames of their own.
///
/// # Examples
///
/// ```
/// use jetwash_dict::{BatchDecompressor, BatchCompressor, Compressor, Decompressor};
///
/// let mut compressor = BatchCompressor::new(Compressor::without_dictionary(1));
/// let mut frame = Vec::new();
/// compressor.compress([&b"{\"a\":1}"[..], b"{\"a\":2}"], &mut frame)?;
///
/// let mut decompressor = BatchDecompressor::new(Decompressor::without_dictionary());
/// let events: Vec<_> = decompressor.decompress(&frame, 1000)?.collect();
/// assert_eq!(events, [&b"{\"a\":1}"[..], b"{\"a\":2}"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct BatchCompressor {
    compressor: Compressor,
    lines: Vec<u8>,
}

impl BatchCompressor {
    /// One that compresses as `compressor` does.
    #[must_use]
    pub const fn new(compressor: Compressor) -> Self {
        Self {
            compressor,
            lines: Vec::new(),
        }
    }

    /// Appends one frame that holds these events.
    ///
    /// # Errors
    ///
    /// When there is none, or one is empty or has a newline in it, which no event as compact JSON
    /// has; or when zstd runs out of memory. `out` is then left as it was.
    pub fn compress<'a>(
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
        let outcome = self.compressor.compress(&self.lines, out);
        self.lines.shrink_to(KEPT);
        Ok(outcome?)
    }
}

/// Takes the events out of such frames, and out of those of a single event.
#[derive(Debug)]
pub struct BatchDecompressor {
    decompressor: Decompressor,
    lines: Vec<u8>,
}

impl BatchDecompressor {
    /// One that reads what `decompressor` does.
    #[must_use]
    pub const fn new(decompressor: Decompressor) -> Self {
        Self {
            decompressor,
            lines: Vec::new(),
        }
    }

    /// The events in a frame, if they are at most `limit` bytes together. No more memory is taken
    /// than that.
    ///
    /// # Errors
    ///
    /// When `frame` is not one whole frame of this decompressor's dictionary, or holds more.
    pub fn decompress(
        &mut self,
        frame: &[u8],
        limit: usize,
    ) -> Result<impl Iterator<Item = &[u8]>, DecompressError> {
        self.lines.clear();
        self.lines.shrink_to(KEPT);
        self.decompressor
            .decompress(frame, limit, &mut self.lines)?;
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
    Compress(#[from] CompressError),
    /// An event is empty, or has a newline in it.
    #[error("an event of a batch is a line: not empty, and without a newline")]
    Line,
}

/// The room that is kept from one batch to the next: more than nearly all need.
const KEPT: usize = 256 << 10;
