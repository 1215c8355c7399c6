//! A dictionary as its compressors and decompressors share it.

use std::fmt;

use zstd::zstd_safe::DDict;

/// A dictionary that has been checked. Shared, so that a worker's compressor costs no copy of it.
pub(crate) struct Prepared {
    pub(crate) bytes: Box<[u8]>,
    /// Never 0.
    pub(crate) id: u32,
    pub(crate) sha256: [u8; 32],
    pub(crate) decompressing: DDict<'static>,
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dictionary")
            .field("id", &self.id)
            .field("length", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

/// The zstd level at which events are compressed.
pub(crate) const DEFAULT_LEVEL: i32 = 1;
