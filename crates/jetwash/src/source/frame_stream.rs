use std::error::Error;
use std::pin::Pin;

use bytes::Bytes;
use futures_core::Stream;
use futures_util::StreamExt;

use crate::source::{Source, SourceHandle};

/// Frames that the caller brings.
pub(crate) struct FrameStream {
    name: String,
    /// `None` once it was begun: a stream that has ended or panicked is not asked again.
    frames: Option<Pin<Box<dyn Stream<Item = Bytes> + Send>>>,
}

impl FrameStream {
    pub(crate) fn new(name: String, frames: impl Stream<Item = Bytes> + Send + 'static) -> Self {
        Self {
            name,
            frames: Some(Box::pin(frames)),
        }
    }
}

impl Source for FrameStream {
    fn name(&self) -> &str {
        &self.name
    }

    async fn run(&mut self, handle: SourceHandle) -> Result<(), Box<dyn Error + Send + Sync>> {
        let Some(mut frames) = self.frames.take() else {
            return Ok(());
        };
        while let Some(frame) = frames.next().await {
            handle.frame(frame).await?;
        }
        Ok(())
    }
}
