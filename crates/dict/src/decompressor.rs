use std::fmt;
use std::sync::Arc;

use thiserror::Error;
use zstd::zstd_safe::{
    DCtx, find_frame_compressed_size, get_dict_id_from_frame, get_error_name,
    get_frame_content_size,
};

use crate::prepared::Prepared;

/// Decompresses events, which may come from anyone.
///
/// [`Dictionary::decompressor`](crate::Dictionary::decompressor) makes one for events compressed
/// with a dictionary. A compressed event is one zstd frame of any compressor, and need not say how
/// long its content is. Keep one per worker: it holds the working memory.
///
/// # Examples
///
/// ```
/// use jetwash_dict::{DecompressError, Decompressor, Compressor};
///
/// let mut compressed = Vec::new();
/// Compressor::without_dictionary(1).compress(&[7; 1000], &mut compressed)?;
///
/// let mut decompressor = Decompressor::without_dictionary();
/// let mut event = Vec::new();
/// decompressor.decompress(&compressed, 1000, &mut event)?;
/// assert_eq!(event, [7; 1000]);
/// assert_eq!(
///     decompressor.decompress(&compressed, 999, &mut event),
///     Err(DecompressError::TooLarge { limit: 999 }),
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Decompressor {
    context: DCtx<'static>,
    dictionary: Option<Arc<Prepared>>,
}

impl Decompressor {
    /// Makes a decompressor of events compressed without a dictionary.
    #[must_use]
    pub fn without_dictionary() -> Self {
        Self {
            context: DCtx::create(),
            dictionary: None,
        }
    }

    pub(crate) fn prepared(dictionary: Arc<Prepared>) -> Self {
        Self {
            context: DCtx::create(),
            dictionary: Some(dictionary),
        }
    }

    /// Appends the event, if it is at most `limit` bytes.
    ///
    /// It takes at most `limit` bytes of memory, whatever size the input claims.
    ///
    /// # Errors
    ///
    /// When `compressed` is not exactly one whole event made with this decompressor's dictionary,
    /// or holds more than `limit`; `out` is then left as it was.
    pub fn decompress(
        &mut self,
        compressed: &[u8],
        limit: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), DecompressError> {
        self.check(compressed)?;
        let start = out.len();
        let result = self.decompress_checked(compressed, limit, out);
        let length = *result.as_ref().unwrap_or(&0);
        out.truncate(start + length);
        result.map(|_| ())
    }

    /// Replaces the content of `out` by several events, if they are exactly `length` bytes
    /// together. Compressed, they stand one directly after the other.
    ///
    /// It takes less time than to decompress them one by one, and checks less: not where one ends
    /// and the next begins.
    ///
    /// # Errors
    ///
    /// When `compressed` is not a number of whole events made with this decompressor's dictionary,
    /// or they hold more or less than `length`; `out` is then empty.
    ///
    /// # Examples
    ///
    /// ```
    /// use jetwash_dict::{Decompressor, Compressor};
    ///
    /// let mut compressed = Vec::new();
    /// let mut compressor = Compressor::without_dictionary(1);
    /// compressor.compress(b"one, ", &mut compressed)?;
    /// compressor.compress(b"two", &mut compressed)?;
    ///
    /// let mut events = Vec::new();
    /// Decompressor::without_dictionary().decompress_all(&compressed, 8, &mut events)?;
    /// assert_eq!(events, b"one, two");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn decompress_all(
        &mut self,
        compressed: &[u8],
        length: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), DecompressError> {
        // The whole of a block at once: zstd writes into the room without zeroing it first.
        out.clear();
        out.reserve_exact(length);
        let written = match &self.dictionary {
            Some(dictionary) => {
                self.context
                    .decompress_using_ddict(out, compressed, &dictionary.decompressing)
            }
            None => self.context.decompress(out, compressed),
        };
        let error = match written {
            Ok(written) if written == length => return Ok(()),
            Ok(written) if written < length => DecompressError::Truncated,
            Ok(_) => DecompressError::TooLarge { limit: length },
            Err(code) if is_error(code, DESTINATION_SIZE_TOO_SMALL) => {
                DecompressError::TooLarge { limit: length }
            }
            Err(code) if is_error(code, SOURCE_SIZE_WRONG) => DecompressError::Truncated,
            Err(code) => corrupt(code),
        };
        out.clear();
        Err(error)
    }

    /// Checks that this is one whole zstd frame, made with the right dictionary.
    fn check(&self, compressed: &[u8]) -> Result<(), DecompressError> {
        if !MAGIC.starts_with(&compressed[..compressed.len().min(4)]) {
            return Err(DecompressError::Magic);
        }
        match find_frame_compressed_size(compressed) {
            Ok(length) if length < compressed.len() => {
                return Err(DecompressError::Trailing { length });
            }
            Ok(_) => {}
            Err(code) if is_error(code, SOURCE_SIZE_WRONG) => {
                return Err(DecompressError::Truncated);
            }
            Err(code) => return Err(corrupt(code)),
        }
        let found = compressed_dictionary_id(compressed);
        let expected = self.dictionary.as_ref().map(|dictionary| dictionary.id);
        if found == expected {
            Ok(())
        } else {
            Err(DecompressError::WrongDictionary { expected, found })
        }
    }

    fn decompress_checked(
        &mut self,
        compressed: &[u8],
        limit: usize,
        out: &mut Vec<u8>,
    ) -> Result<usize, DecompressError> {
        let too_large = DecompressError::TooLarge { limit };
        let size = get_frame_content_size(compressed).map_err(|_| DecompressError::Truncated)?;
        let mut room = match size.map(usize::try_from) {
            Some(Ok(size)) if size <= limit => size,
            Some(_) => return Err(too_large),
            // Compressors that leave the size out do so for the shortest events.
            None => FIRST_ROOM.max(4 * compressed.len()).min(limit),
        };
        let start = out.len();
        loop {
            out.resize(start + room, 0);
            let room_left = &mut out[start..];
            let written = match &self.dictionary {
                Some(dictionary) => self.context.decompress_using_ddict(
                    room_left,
                    compressed,
                    &dictionary.decompressing,
                ),
                None => self.context.decompress(room_left, compressed),
            };
            match written {
                Ok(length) => return Ok(length),
                Err(code) if size.is_none() && is_error(code, DESTINATION_SIZE_TOO_SMALL) => {
                    if room >= limit {
                        return Err(too_large);
                    }
                    room = room.saturating_mul(4).min(limit);
                }
                Err(code) => return Err(corrupt(code)),
            }
        }
    }
}

impl fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decompressor")
            .field("dictionary", &self.dictionary)
            .finish_non_exhaustive()
    }
}

/// Returns the number of the dictionary that an event was compressed with; `None` if there was no
/// dictionary, or if the bytes are not a zstd frame.
#[must_use]
pub fn compressed_dictionary_id(compressed: &[u8]) -> Option<u32> {
    get_dict_id_from_frame(compressed).map(std::num::NonZero::get)
}

/// Why an event cannot be decompressed.
///
/// # Examples
///
/// ```
/// use jetwash_dict::{DecompressError, Decompressor};
///
/// let mut event = Vec::new();
/// let outcome = Decompressor::without_dictionary().decompress(b"{}", 100, &mut event);
/// assert_eq!(outcome, Err(DecompressError::Magic));
/// ```
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecompressError {
    /// The compressed event is damaged.
    #[error("the compressed event is damaged: {reason}")]
    Corrupt {
        /// The reason that zstd gives.
        reason: &'static str,
    },
    /// The bytes do not start as a zstd frame does.
    #[error("not a zstd frame: the magic number is missing")]
    Magic,
    /// The event is larger than the limit.
    #[error("the compressed event holds more than {limit} bytes")]
    TooLarge {
        /// How many bytes it may hold.
        limit: usize,
    },
    /// There is something behind the event.
    #[error("the compressed event ends at byte {length}, but there is more")]
    Trailing {
        /// The length of the compressed event.
        length: usize,
    },
    /// The compressed event is not complete.
    #[error("the compressed event is cut short")]
    Truncated,
    /// The event was compressed with another dictionary, or without one.
    #[error(
        "the frame was made with {}, but is read with {}",
        DictionaryName(*found),
        DictionaryName(*expected)
    )]
    WrongDictionary {
        /// The number of the decompressor's dictionary.
        expected: Option<u32>,
        /// The number in the compressed event.
        found: Option<u32>,
    },
}

struct DictionaryName(Option<u32>);

impl fmt::Display for DictionaryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(id) => write!(f, "dictionary {id}"),
            None => f.write_str("no dictionary"),
        }
    }
}

/// The magic number of a zstd frame, 0xFD2FB528, as it is stored.
const MAGIC: [u8; 4] = 0xfd2f_b528_u32.to_le_bytes();

/// The least room for an event whose size is not given.
const FIRST_ROOM: usize = 512;

// Numbers of errors, which zstd promises never to change.
const DESTINATION_SIZE_TOO_SMALL: usize = 70;
const SOURCE_SIZE_WRONG: usize = 72;

/// Whether a code is that of the error with this number: zstd returns them negated.
const fn is_error(code: usize, number: usize) -> bool {
    code.wrapping_neg() == number
}

fn corrupt(code: usize) -> DecompressError {
    DecompressError::Corrupt {
        reason: get_error_name(code),
    }
}
