use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;

use futures_core::Stream;
use jetwash::store::FrameBounds;
use jetwash::{FrameStart, KeptFrame};
use thiserror::Error;

/// The frames of one upstream in the order of their sequence numbers: those that are kept, and
/// those to come.
///
/// [`JetstreamFrames`](crate::JetstreamFrames) implements it for a
/// [`Jetstream`](jetwash::Jetstream). A program that keeps frames elsewhere implements it itself.
///
/// # Examples
///
/// A source of frames that are all there from the start:
///
/// ```
/// use futures_util::stream;
/// use jetwash::store::FrameBounds;
/// use jetwash::{FrameStart, KeptFrame};
/// use jetwash_firehose::{Firehose, FirehoseOptions, FrameSource, FrameStream};
///
/// struct Recorded(Vec<KeptFrame>);
///
/// impl FrameSource for Recorded {
///     fn bounds(&self) -> Option<FrameBounds> {
///         let (first, last) = (self.0.first()?, self.0.last()?);
///         Some(FrameBounds::new(first.seq, last.seq + 1))
///     }
///
///     fn frames(&self, start: FrameStart) -> FrameStream {
///         let frames = self.0.iter().filter(|frame| match start {
///             FrameStart::Live => false,
///             FrameStart::Seq(seq) => frame.seq >= seq,
///             _ => true,
///         });
///         // The stream ends after them, and with it the reader's connection.
///         Box::pin(stream::iter([Ok(frames.cloned().collect())]))
///     }
/// }
///
/// let frames = vec![KeptFrame::new(4_711, &b"a frame"[..])];
/// let firehose = Firehose::new(Recorded(frames), FirehoseOptions::default());
/// assert_eq!(firehose.readers(), 0);
/// ```
pub trait FrameSource: Send + Sync + 'static {
    /// Returns the bounds of the frames that are kept now; `None` while no number is known, neither
    /// of a frame nor of the place at which frames will begin.
    ///
    /// A source that knows where its frames begin but has none has bounds whose two numbers are
    /// equal. Must not block.
    fn bounds(&self) -> Option<FrameBounds>;

    /// Returns the frames from `start` on. Its place is settled at the call, not when the stream is
    /// polled first. Must not block.
    ///
    /// An item has frames in ascending order of their numbers, at best up to a few hundred
    /// kilobytes: a reader holds one item at a time. An empty item is allowed. The stream ends when
    /// the source does.
    fn frames(&self, start: FrameStart) -> FrameStream;
}

impl<S: FrameSource + ?Sized> FrameSource for Arc<S> {
    fn bounds(&self) -> Option<FrameBounds> {
        (**self).bounds()
    }

    fn frames(&self, start: FrameStart) -> FrameStream {
        (**self).frames(start)
    }
}

/// The frames from a position on, as [`FrameSource::frames`] returns them.
pub type FrameStream = Pin<Box<dyn Stream<Item = Result<Vec<KeptFrame>, FrameSourceError>> + Send>>;

/// Why a source has no more frames.
///
/// # Examples
///
/// ```
/// use jetwash_firehose::FrameSourceError;
///
/// let lost = FrameSourceError::Lost { from: 17, oldest: 4_711 };
/// assert_eq!(lost.to_string(), "frames from 17 on are not kept; the oldest is 4711");
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FrameSourceError {
    /// Frames are no longer kept, or never were. The stream continues with the oldest that are. If
    /// `oldest` is below `from`, the source has begun to count anew.
    #[error("frames from {from} on are not kept; the oldest is {oldest}")]
    Lost {
        /// The number of the frame that should have come next.
        from: u64,
        /// The first number from which on no frame is missing.
        oldest: u64,
    },
    /// Frames cannot be read. Readers are told so without the cause, which is logged.
    #[error("frames cannot be read: {0}")]
    Failed(#[source] Box<dyn Error + Send + Sync>),
}
