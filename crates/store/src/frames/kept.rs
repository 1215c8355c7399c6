use std::fmt;

use bytes::Bytes;

/// A frame as it was received.
///
/// # Examples
///
/// ```
/// # use jetwash_store::{FrameStart, Frames, Location, Options, open};
/// # let (mut appender, store) = open(Location::Memory, Options::default().keep_frames(1 << 20))?;
/// # appender.keep_frame("relay", 4_711, b"a frame");
/// # appender.commit()?;
/// let mut reader = store.frames("relay", FrameStart::Oldest).ok_or("frames are kept")?;
/// let Frames::Next(frames) = reader.read()? else { panic!("nothing there") };
/// assert_eq!((frames[0].seq, frames[0].bytes.len()), (4_711, 7));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeptFrame {
    /// Its sequence number at the source.
    pub seq: u64,
    /// The frame.
    pub bytes: Bytes,
}

impl KeptFrame {
    /// Makes a frame, for those who keep frames elsewhere.
    ///
    /// # Examples
    ///
    /// ```
    /// use jetwash_store::KeptFrame;
    ///
    /// let frame = KeptFrame::new(4_711, &b"a frame"[..]);
    /// assert_eq!((frame.seq, frame.bytes.len()), (4_711, 7));
    /// ```
    pub fn new(seq: u64, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self { seq, bytes }
    }
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
