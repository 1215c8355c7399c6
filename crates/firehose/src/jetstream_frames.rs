use std::future::ready;

use futures_util::stream;
use jetwash::store::FrameBounds;
use jetwash::{FrameStart, FramesError, Jetstream};

use crate::source::{FrameSource, FrameSourceError, FrameStream};

/// The frames that a [`Jetstream`] keeps of one of its sources, see
/// [`keep_frames`](jetwash::JetstreamBuilder::keep_frames).
///
/// # Examples
///
/// ```
/// use jetwash::{Endpoint, Jetstream};
/// use jetwash_firehose::{FrameSource, JetstreamFrames};
///
/// let relay: Endpoint = "relay1.us-east.bsky.network".parse()?;
/// let (jetstream, _ingest) =
///     Jetstream::builder().relay(relay.to_string()).keep_frames(10 << 30).build()?;
/// let frames = JetstreamFrames::new(jetstream, relay.to_string())?;
/// assert_eq!(frames.bounds(), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct JetstreamFrames {
    jetstream: Jetstream,
    source: String,
}

impl JetstreamFrames {
    /// Makes a source of the frames of `source`: for a relay the full address, which is an
    /// [`Endpoint`](jetwash::Endpoint) as text. It need not have sent anything yet.
    ///
    /// # Errors
    ///
    /// When the Jetstream keeps no frames.
    pub fn new(jetstream: Jetstream, source: impl Into<String>) -> Result<Self, FramesError> {
        let source = source.into();
        jetstream.kept_frames(&source, FrameStart::Live)?;
        Ok(Self { jetstream, source })
    }
}

impl FrameSource for JetstreamFrames {
    fn bounds(&self) -> Option<FrameBounds> {
        let kept = || self.jetstream.store().frame_bounds(&self.source);
        kept().or_else(|| {
            // A log that has only now begun to keep frames knows at least where it is. The frames
            // come with the cursor in one commit, so a second look finds them if it is theirs.
            let next = self.jetstream.source_cursor(&self.source)?.checked_add(1)?;
            kept().or_else(|| Some(FrameBounds::new(next, next)))
        })
    }

    fn frames(&self, start: FrameStart) -> FrameStream {
        match self.jetstream.kept_frames(&self.source, start) {
            Ok(frames) => Box::pin(stream::unfold(frames, async |mut frames| {
                let next = frames.next().await?;
                Some((next.map_err(FrameSourceError::from), frames))
            })),
            Err(error) => Box::pin(stream::once(ready(Err(error.into())))),
        }
    }
}

impl From<FramesError> for FrameSourceError {
    fn from(error: FramesError) -> Self {
        match error {
            FramesError::Lost { from, oldest } => Self::Lost { from, oldest },
            error => Self::Failed(error.into()),
        }
    }
}
