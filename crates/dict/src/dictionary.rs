use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use thiserror::Error;
use zstd::zstd_safe::{CDict, DDict};

use crate::compressor::Compressor;
use crate::decompressor::Decompressor;
use crate::prepared::{DEFAULT_LEVEL, Prepared};

/// A dictionary in zstd's own format, checked and prepared for use.
///
/// A clone shares everything.
///
/// # Examples
///
/// ```
/// use jetwash_dict::{Dictionary, DictionaryError};
///
/// let text = Dictionary::from_bytes("just some text".as_bytes());
/// assert_eq!(text.unwrap_err(), DictionaryError::Magic);
/// ```
#[derive(Clone)]
pub struct Dictionary(Arc<Prepared>);

impl Dictionary {
    /// The number of the dictionary that readers of Jetstream version 1 carry.
    pub const OFFICIAL_V1_ID: u32 = 1_612_007_021;

    /// The SHA-256 of the dictionary that readers of Jetstream version 1 carry.
    pub const OFFICIAL_V1_SHA256: [u8; 32] = [
        0xb8, 0xd7, 0x7b, 0x46, 0x93, 0x3a, 0xce, 0xec, 0xbd, 0xd5, 0x27, 0x5a, 0x01, 0x24, 0x1e,
        0xfc, 0x98, 0x5c, 0x97, 0x0c, 0x78, 0x16, 0x2b, 0x81, 0x50, 0xcf, 0x67, 0xa2, 0x65, 0x22,
        0xf7, 0x0c,
    ];

    /// The level of zstd at which events are compressed by default.
    pub const DEFAULT_LEVEL: i32 = DEFAULT_LEVEL;

    /// Takes over a dictionary and prepares it.
    ///
    /// # Errors
    ///
    /// When the bytes are not a dictionary in zstd's format, or have no number.
    pub fn from_bytes(bytes: impl Into<Box<[u8]>>) -> Result<Self, DictionaryError> {
        let bytes = bytes.into();
        let [m0, m1, m2, m3, i0, i1, i2, i3, ..] = *bytes else {
            return Err(DictionaryError::Magic);
        };
        if [m0, m1, m2, m3] != MAGIC {
            return Err(DictionaryError::Magic);
        }
        let id = u32::from_le_bytes([i0, i1, i2, i3]);
        if id == 0 {
            return Err(DictionaryError::Id);
        }
        // Each compressor makes its tables itself; this only shows that they can be made.
        CDict::try_create(&bytes, Self::DEFAULT_LEVEL).ok_or(DictionaryError::Tables)?;
        let decompressing = DDict::try_create(&bytes).ok_or(DictionaryError::Tables)?;
        Ok(Self(Arc::new(Prepared {
            id,
            sha256: Sha256::digest(&bytes).into(),
            decompressing,
            bytes,
        })))
    }

    /// Returns the dictionary built into the crate, for servers that have no better one yet.
    ///
    /// It was trained by a [`Trainer`](crate::Trainer) on the simulator's events, so it contains no
    /// person's text. It is small, because made-up text helps only with the shape of events.
    /// `docs/compression.md` has the command that makes it.
    ///
    /// # Errors
    ///
    /// Only for lack of memory.
    #[cfg(feature = "builtin")]
    pub fn builtin() -> Result<Self, DictionaryError> {
        Self::from_bytes(*include_bytes!("builtin.zdict"))
    }

    /// Returns the same for binary events.
    ///
    /// # Errors
    ///
    /// Only for lack of memory.
    #[cfg(feature = "builtin")]
    pub fn builtin_binary() -> Result<Self, DictionaryError> {
        Self::from_bytes(*include_bytes!("builtin-binary.zdict"))
    }

    /// Trains a dictionary of at most `max_size` bytes on samples, as they are. A
    /// [`Trainer`](crate::Trainer) chooses samples and size, and removes personal data.
    ///
    /// The samples should be like the events that readers will get, a hundred times the size of
    /// the dictionary. The caller chooses the number `id`, which must never stand for two different
    /// dictionaries; the date is a good one. The same samples give the same dictionary.
    ///
    /// # Errors
    ///
    /// When `id` is 0, or the samples are too few for a dictionary of that size.
    pub fn train<S: AsRef<[u8]>>(
        samples: impl IntoIterator<Item = S>,
        max_size: usize,
        id: u32,
    ) -> Result<Self, TrainError> {
        if id == 0 {
            return Err(DictionaryError::Id.into());
        }
        let mut data = Vec::new();
        let mut sizes = Vec::new();
        for sample in samples {
            let sample = sample.as_ref();
            data.extend_from_slice(sample);
            sizes.push(sample.len());
        }
        let trained = zstd::dict::from_continuous(&data, &sizes, max_size);
        let mut bytes = trained.map_err(|error| TrainError::Samples {
            count: sizes.len(),
            bytes: data.len(),
            max_size,
            reason: error.to_string(),
        })?;
        // The trainer has drawn another number. Nothing else in the dictionary depends on it.
        if let Some(number) = bytes.get_mut(4..8) {
            number.copy_from_slice(&id.to_le_bytes());
        }
        Ok(Self::from_bytes(bytes)?)
    }

    /// Returns its number, never 0: every event compressed with it has this.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.0.id
    }

    /// The dictionary as it is stored and sent.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    /// The SHA-256 of its bytes.
    #[must_use]
    pub fn sha256(&self) -> &[u8; 32] {
        &self.0.sha256
    }

    /// Whether it is the one that readers of Jetstream version 1 carry, to the byte.
    #[must_use]
    pub fn is_official_v1(&self) -> bool {
        self.0.sha256 == Self::OFFICIAL_V1_SHA256
    }

    /// Makes a compressor tuned for events: as fast as [`DEFAULT_LEVEL`](Self::DEFAULT_LEVEL), and
    /// smaller.
    #[must_use]
    pub fn compressor(&self) -> Compressor {
        Compressor::tuned(Arc::clone(&self.0))
    }

    /// Makes a compressor at another level, which prepares the dictionary anew. Clone it for more.
    ///
    /// # Errors
    ///
    /// When the dictionary cannot be prepared for that level.
    pub fn compressor_at_level(&self, level: i32) -> Result<Compressor, DictionaryError> {
        let compressing = CDict::try_create(&self.0.bytes, level).ok_or(DictionaryError::Tables)?;
        Ok(Compressor::prepared(Arc::new(compressing)))
    }

    /// Makes a decompressor of events compressed with this dictionary.
    #[must_use]
    pub fn decompressor(&self) -> Decompressor {
        Decompressor::prepared(Arc::clone(&self.0))
    }
}

impl fmt::Debug for Dictionary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl From<&Dictionary> for Compressor {
    fn from(dictionary: &Dictionary) -> Self {
        dictionary.compressor()
    }
}

impl From<&Dictionary> for Decompressor {
    fn from(dictionary: &Dictionary) -> Self {
        dictionary.decompressor()
    }
}

impl Eq for Dictionary {}

impl PartialEq for Dictionary {
    fn eq(&self, other: &Self) -> bool {
        self.0.sha256 == other.0.sha256
    }
}

/// Why bytes are not a usable dictionary.
///
/// # Examples
///
/// ```
/// use jetwash_dict::{Dictionary, DictionaryError};
///
/// // The magic number, and the number 0.
/// let error = Dictionary::from_bytes([0x37, 0xa4, 0x30, 0xec, 0, 0, 0, 0]).unwrap_err();
/// assert_eq!(error, DictionaryError::Id);
/// ```
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum DictionaryError {
    /// The number is 0, which stands for no dictionary.
    #[error("the dictionary has no number (id 0)")]
    Id,
    /// The bytes do not start with the magic number, so they are plain text or something else.
    #[error("not a dictionary in zstd's format: the magic number is missing")]
    Magic,
    /// The tables at its start are damaged, or there is no memory left for them.
    #[error("zstd cannot load the tables of the dictionary")]
    Tables,
}

/// Why samples do not make a dictionary.
///
/// # Examples
///
/// ```
/// use jetwash_dict::{Dictionary, TrainError};
///
/// let error = Dictionary::train(["{}"], 1024, 7).unwrap_err();
/// assert!(matches!(error, TrainError::Samples { count: 1, .. }));
/// ```
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrainError {
    /// The trained dictionary cannot be used, or the number is 0.
    #[error(transparent)]
    Dictionary(#[from] DictionaryError),
    /// The samples are too few or too small.
    #[error(
        "{count} samples, {bytes} bytes in all, do not make a dictionary of {max_size} bytes: \
         {reason}"
    )]
    Samples {
        /// How many there are.
        count: usize,
        /// How many bytes they have together.
        bytes: usize,
        /// How large the dictionary may be.
        max_size: usize,
        /// The reason that zstd gives.
        reason: String,
    },
}

/// The magic number of a dictionary, 0xEC30A437, as it is stored.
const MAGIC: [u8; 4] = 0xec30_a437_u32.to_le_bytes();
