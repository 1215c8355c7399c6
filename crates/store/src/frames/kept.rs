use std::fmt;

use bytes::Bytes;

/// A frame as it was received.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeptFrame {
    /// Its sequence number at the source.
    pub seq: u64,
    /// The frame.
    pub bytes: Bytes,
}

impl fmt::Debug for KeptFrame {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("KeptFrame")
            .field("seq", &self.seq)
            .field("length", &self.bytes.len())
            .finish()
    }
}
