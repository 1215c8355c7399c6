use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_core::Stream;
use futures_util::StreamExt;
use tokio::sync::oneshot;
use tracing::info;

use crate::ingest::Intake;

/// Frames that the caller brings.
pub(crate) struct FrameStream {
    pub(crate) name: String,
    pub(crate) frames: Pin<Box<dyn Stream<Item = Bytes> + Send>>,
    /// Where to say how far the log has come, for frames that continue from there.
    pub(crate) cursor: Option<oneshot::Sender<Option<u64>>>,
}

impl FrameStream {
    /// Hands the frames over to the pipeline until the stream ends, or the pipeline does.
    ///
    /// A panic of the stream ends the task that this runs on, which looks after it: see
    /// [`Tasks`](crate::tasks::Tasks).
    pub(crate) async fn feed(mut self, intake: Intake) {
        let name: Arc<str> = self.name.into();
        while let Some(frame) = self.frames.next().await {
            if intake.send(&name, frame).await.is_err() {
                return;
            }
        }
        info!(source = %name, "the source has ended");
    }
}
