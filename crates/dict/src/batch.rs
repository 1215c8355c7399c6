use thiserror::Error;

use crate::compressor::{CompressError, Compressor};
use crate::decompressor::{DecompressError, Decompressor};

/// Compresses several events together: their lines, with a newline between two of them and none
/// after the last.
///
/// Common content is then stored once, so sixteen together take two thirds of the room that they
/// take one by one.
///
/// # Examples
///
/// ```
/// use jetwash_dict::{BatchDecompressor, BatchCompressor, Compressor, Decompressor};
///
/// let mut compressor = BatchCompressor::new(Compressor::without_dictionary(1));
/// let mut compressed = Vec::new();
/// compressor.compress([&b"{\"a\":1}"[..], b"{\"a\":2}"], &mut compressed)?;
///
/// let mut decompressor = BatchDecompressor::new(Decompressor::without_dictionary());
/// let events: Vec<_> = decompressor.decompress(&compressed, 1000)?.collect();
/// assert_eq!(events, [&b"{\"a\":1}"[..], b"{\"a\":2}"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct BatchCompressor {
    compressor: Compressor,
    lines: Vec<u8>,
}

impl BatchCompressor {
    /// Makes one that compresses as `compressor` does.
    #[must_use]
    pub const fn new(compressor: Compressor) -> Self {
        Self {
            compressor,
            lines: Vec::new(),
        }
    }

    /// Appends these events, compressed together as one zstd frame.
    ///
    /// # Errors
    ///
    /// When there are no events, when one is empty or contains a newline, which compact JSON never
    /// does, or when zstd runs out of memory. `out` is then left as it was.
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

/// Decompresses such batches, and single events too.
///
/// # Examples
///
/// ```
/// use jetwash_dict::{BatchDecompressor, Compressor, Decompressor};
///
/// // An event that was compressed by itself is a batch of one.
/// let mut compressed = Vec::new();
/// Compressor::without_dictionary(1).compress(b"{}", &mut compressed)?;
/// let mut decompressor = BatchDecompressor::new(Decompressor::without_dictionary());
/// assert!(decompressor.decompress(&compressed, 1000)?.eq([b"{}"]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct BatchDecompressor {
    decompressor: Decompressor,
    lines: Vec<u8>,
}

impl BatchDecompressor {
    /// Makes one that decompresses as `decompressor` does.
    #[must_use]
    pub const fn new(decompressor: Decompressor) -> Self {
        Self {
            decompressor,
            lines: Vec::new(),
        }
    }

    /// Returns the events, if they are at most `limit` bytes together. It takes no more memory than
    /// that.
    ///
    /// # Errors
    ///
    /// When `compressed` is not one whole batch of this decompressor's dictionary, or holds more.
    pub fn decompress(
        &mut self,
        compressed: &[u8],
        limit: usize,
    ) -> Result<impl Iterator<Item = &[u8]>, DecompressError> {
        self.lines.clear();
        self.lines.shrink_to(KEPT);
        self.decompressor
            .decompress(compressed, limit, &mut self.lines)?;
        let lines = self.lines.split(|byte| *byte == b'\n');
        Ok(lines.filter(|line| !line.is_empty()))
    }
}

/// Why events do not make a batch.
///
/// # Examples
///
/// ```
/// use jetwash_dict::{BatchCompressor, BatchError, Compressor};
///
/// let mut compressor = BatchCompressor::new(Compressor::without_dictionary(1));
/// let mut out = Vec::new();
/// assert_eq!(compressor.compress([], &mut out), Err(BatchError::Empty));
/// assert_eq!(compressor.compress([&b"{\n}"[..]], &mut out), Err(BatchError::Line));
/// ```
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum BatchError {
    /// There are no events.
    #[error("a batch holds at least one event")]
    Empty,
    /// The batch could not be compressed.
    #[error(transparent)]
    Compress(#[from] CompressError),
    /// An event is empty, or has a newline in it.
    #[error("an event of a batch is a line: not empty, and without a newline")]
    Line,
}

/// The room that is kept from one batch to the next. Nearly all batches need less.
const KEPT: usize = 256 << 10;
