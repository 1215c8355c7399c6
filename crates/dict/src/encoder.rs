use std::fmt;
use std::sync::Arc;

use thiserror::Error;
use zstd::zstd_safe::{CCtx, CDict, compress_bound, get_error_name};

use crate::dictionary::Dictionary;

/// Makes a zstd frame of each event.
///
/// Frames have the size of their content and the number of the dictionary, but no checksum: what
/// carries them has its own. [`Dictionary::encoder`] makes one with a dictionary. Keep one per
/// worker: it holds the working memory, so that a frame costs no allocation. A clone shares the
/// prepared dictionary.
///
/// # Examples
///
/// ```
/// use jetwash_dict::Encoder;
///
/// let mut frame = Vec::new();
/// Encoder::without_dictionary(1).encode(&[7; 1000], &mut frame)?;
/// assert!(frame.len() < 50);
/// # Ok::<(), jetwash_dict::EncodeError>(())
/// ```
pub struct Encoder {
    context: CCtx<'static>,
    source: Source,
}

impl Encoder {
    /// An encoder at a level of zstd, without a dictionary.
    #[must_use]
    pub fn without_dictionary(level: i32) -> Self {
        Self {
            context: CCtx::create(),
            source: Source::Level(level),
        }
    }

    pub(crate) fn prepared(dictionary: Arc<CDict<'static>>) -> Self {
        Self {
            context: CCtx::create(),
            source: Source::Dictionary(dictionary),
        }
    }

    /// Appends one frame that holds `event`.
    ///
    /// # Errors
    ///
    /// When zstd runs out of memory; `out` is then left as it was.
    pub fn encode(&mut self, event: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let start = out.len();
        out.resize(start + compress_bound(event.len()), 0);
        let room = &mut out[start..];
        let written = match &self.source {
            Source::Dictionary(dictionary) => {
                self.context.compress_using_cdict(room, event, dictionary)
            }
            Source::Level(level) => self.context.compress(room, event, *level),
        };
        out.truncate(start + written.unwrap_or(0));
        match written {
            Ok(_) => Ok(()),
            Err(code) => Err(EncodeError {
                reason: get_error_name(code),
            }),
        }
    }
}

impl Clone for Encoder {
    fn clone(&self) -> Self {
        Self {
            context: CCtx::create(),
            source: self.source.clone(),
        }
    }
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Encoder");
        match &self.source {
            Source::Dictionary(dictionary) => debug.field("dictionary", &dictionary.get_dict_id()),
            Source::Level(level) => debug.field("level", level),
        };
        debug.finish_non_exhaustive()
    }
}

impl From<&Dictionary> for Encoder {
    fn from(dictionary: &Dictionary) -> Self {
        dictionary.encoder()
    }
}

/// An event could not be compressed.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("zstd could not compress the event: {reason}")]
pub struct EncodeError {
    /// What zstd says.
    pub reason: &'static str,
}

#[derive(Clone)]
enum Source {
    Dictionary(Arc<CDict<'static>>),
    Level(i32),
}
