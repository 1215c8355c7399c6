//! Frames on their way from a connection to the pipeline: those that were read together are handed
//! over together.

use std::sync::Arc;

use bytes::Bytes;

use crate::ingest::{Content, Intake, Stopped};

/// Frames of one source that are about to be handed over, in order with what else is passed on.
pub(super) struct Outbox {
    source: Arc<str>,
    intake: Intake,
    frames: Vec<Bytes>,
}

impl Outbox {
    pub(super) const fn new(source: Arc<str>, intake: Intake) -> Self {
        Self {
            source,
            intake,
            frames: Vec::new(),
        }
    }

    /// Adds a frame. It is handed over with others, or when there are many.
    pub(super) async fn push(&mut self, frame: Bytes) -> Result<(), Stopped> {
        self.frames.push(frame);
        if self.frames.len() < MOST {
            return Ok(());
        }
        self.hand_over().await
    }

    /// Waits for room, and hands over the frames.
    pub(super) async fn hand_over(&mut self) -> Result<(), Stopped> {
        self.intake.send_all(&self.source, &mut self.frames).await
    }

    /// Passes on news of the connection behind the frames that came before it.
    pub(super) async fn pass_on(&mut self, content: Content) -> Result<(), Stopped> {
        self.hand_over().await?;
        self.intake.pass_on(&self.source, content).await
    }
}

/// The most frames that are kept here, as each takes memory beside its bytes.
const MOST: usize = 256;
