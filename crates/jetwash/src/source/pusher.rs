use std::sync::Arc;

use bytes::Bytes;

use crate::ingest::{Intake, Stopped};

/// Puts frames into a [`Jetstream`](crate::Jetstream) by hand.
#[derive(Clone, Debug)]
pub struct Pusher {
    source: Arc<str>,
    intake: Intake,
}

impl Pusher {
    pub(crate) fn new(source: &str, intake: Intake) -> Self {
        Self {
            source: source.into(),
            intake,
        }
    }

    /// Hands over one frame; waits while the pipeline has enough to do.
    ///
    /// # Errors
    ///
    /// When the Jetstream has stopped.
    pub async fn push(&self, frame: impl Into<Bytes>) -> Result<(), Stopped> {
        self.intake.send(&self.source, frame.into()).await
    }
}
