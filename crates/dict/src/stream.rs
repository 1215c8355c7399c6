use std::fmt;

use thiserror::Error;
use zstd::zstd_safe::zstd_sys::ZSTD_EndDirective;
use zstd::zstd_safe::{
    CCtx, CParameter, DCtx, DParameter, InBuffer, OutBuffer, compress_bound, get_error_name,
};

use crate::compressor::CompressError;
use crate::dictionary::Dictionary;

/// Compresses everything that one reader gets as a single zstd frame that never ends.
///
/// Every piece may refer to all that went before it within the window, so a stream is smaller than
/// events compressed one by one. Each reader has its price: a piece is of no use to others, and the
/// compressor holds some 700 KB for as long as the reader is there.
///
/// # Examples
///
/// ```
/// use jetwash_dict::{StreamDecompressor, StreamCompressor};
///
/// let mut compressor = StreamCompressor::new(None)?;
/// let mut decompressor = StreamDecompressor::new(None)?;
/// for event in ["{\"did\":\"did:web:a.example\"}\n", "{\"did\":\"did:web:b.example\"}\n"] {
///     let (mut piece, mut decompressed) = (Vec::new(), Vec::new());
///     compressor.compress(event.as_bytes(), &mut piece)?;
///     decompressor.decompress(&piece, 1 << 20, &mut decompressed)?;
///     assert_eq!(decompressed, event.as_bytes());
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct StreamCompressor {
    context: CCtx<'static>,
}

impl StreamCompressor {
    /// The window of every stream, as a power of two: 128 KiB, some 300 events.
    pub const WINDOW_LOG: u32 = 17;

    /// Begins a stream, which may refer to a dictionary from its first event on.
    ///
    /// # Errors
    ///
    /// When zstd runs out of memory.
    pub fn new(dictionary: Option<&Dictionary>) -> Result<Self, CompressError> {
        let mut context = CCtx::try_create().ok_or(CompressError {
            reason: OUT_OF_MEMORY,
        })?;
        let begun = (|| {
            context.set_parameter(CParameter::CompressionLevel(LEVEL))?;
            context.set_parameter(CParameter::WindowLog(Self::WINDOW_LOG))?;
            context.load_dictionary(dictionary.map_or(&[], Dictionary::bytes))
        })();
        match begun {
            Ok(_) => Ok(Self { context }),
            Err(code) => Err(failed(code)),
        }
    }

    /// Appends the next piece of the stream. It holds all of `input`.
    ///
    /// # Errors
    ///
    /// When zstd runs out of memory. The stream cannot continue after that.
    pub fn compress(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), CompressError> {
        let mut input = InBuffer::around(input);
        let mut room = compress_bound(input.src.len()) + PIECE_HEAD;
        loop {
            let start = out.len();
            out.resize(start + room, 0);
            let mut output = OutBuffer::around(&mut out[start..]);
            let flush = ZSTD_EndDirective::ZSTD_e_flush;
            let result = self
                .context
                .compress_stream2(&mut output, &mut input, flush);
            let written = output.pos();
            out.truncate(start + written);
            match result {
                Ok(0) => return Ok(()),
                Ok(remaining) => room = remaining.max(PIECE_HEAD),
                Err(code) => return Err(failed(code)),
            }
        }
    }
}

impl fmt::Debug for StreamCompressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamCompressor").finish_non_exhaustive()
    }
}

/// Reads the pieces of a stream, in their order.
///
/// It holds no more than a window of [`StreamCompressor::WINDOW_LOG`] beside its output; a stream
/// that asks for a larger one is refused.
///
/// # Examples
///
/// ```
/// use jetwash_dict::{StreamCompressor, StreamDecompressor, StreamError};
///
/// let mut piece = Vec::new();
/// StreamCompressor::new(None)?.compress(&[7; 1000], &mut piece)?;
/// let mut out = Vec::new();
/// let outcome = StreamDecompressor::new(None)?.decompress(&piece, 999, &mut out);
/// assert_eq!(outcome, Err(StreamError::TooLarge { limit: 999 }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct StreamDecompressor {
    context: DCtx<'static>,
}

impl StreamDecompressor {
    /// Awaits a stream that was begun with the same dictionary.
    ///
    /// # Errors
    ///
    /// When zstd runs out of memory.
    pub fn new(dictionary: Option<&Dictionary>) -> Result<Self, StreamError> {
        let mut context = DCtx::try_create().ok_or(StreamError::Corrupt {
            reason: OUT_OF_MEMORY,
        })?;
        let begun = (|| {
            context.set_parameter(DParameter::WindowLogMax(StreamCompressor::WINDOW_LOG))?;
            context.load_dictionary(dictionary.map_or(&[], Dictionary::bytes))
        })();
        match begun {
            Ok(_) => Ok(Self { context }),
            Err(code) => Err(corrupt(code)),
        }
    }

    /// Appends the content of the next piece, if that is at most `limit` bytes.
    ///
    /// # Errors
    ///
    /// When the piece is damaged or does not follow the last one, or holds more than `limit`. The
    /// stream cannot be read further then, and `out` has the part that could be read.
    pub fn decompress(
        &mut self,
        piece: &[u8],
        limit: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), StreamError> {
        let end = out.len().saturating_add(limit);
        let mut input = InBuffer::around(piece);
        loop {
            let start = out.len();
            // One byte beyond the limit shows that there is more.
            let room = ROOM.min(end.saturating_add(1) - start);
            out.resize(start + room, 0);
            let mut output = OutBuffer::around(&mut out[start..]);
            let result = self.context.decompress_stream(&mut output, &mut input);
            let written = output.pos();
            out.truncate(start + written);
            result.map_err(corrupt)?;
            if out.len() > end {
                out.truncate(end);
                return Err(StreamError::TooLarge { limit });
            }
            if written < room && input.pos == piece.len() {
                return Ok(());
            }
        }
    }
}

impl fmt::Debug for StreamDecompressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamDecompressor").finish_non_exhaustive()
    }
}

/// Why a stream cannot be read further.
///
/// # Examples
///
/// ```
/// use jetwash_dict::{StreamDecompressor, StreamError};
///
/// let mut out = Vec::new();
/// let error = StreamDecompressor::new(None)?.decompress(b"{\"did\":", 100, &mut out).unwrap_err();
/// assert!(matches!(error, StreamError::Corrupt { .. }));
/// # Ok::<(), StreamError>(())
/// ```
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamError {
    /// A piece is damaged, missing, or of another stream or dictionary.
    #[error("the stream is damaged: {reason}")]
    Corrupt {
        /// The reason that zstd gives.
        reason: &'static str,
    },
    /// A piece holds more than the limit.
    #[error("a piece of the stream holds more than {limit} bytes")]
    TooLarge {
        /// How many bytes it may hold.
        limit: usize,
    },
}

fn failed(code: usize) -> CompressError {
    CompressError {
        reason: get_error_name(code),
    }
}

fn corrupt(code: usize) -> StreamError {
    StreamError::Corrupt {
        reason: get_error_name(code),
    }
}

/// Higher levels gain little over so short a window, and take memory for each reader.
const LEVEL: i32 = 1;
/// More than zstd writes before and after the data of a piece.
const PIECE_HEAD: usize = 64;
/// How much is decompressed at once.
const ROOM: usize = 16 << 10;
const OUT_OF_MEMORY: &str = "out of memory";
