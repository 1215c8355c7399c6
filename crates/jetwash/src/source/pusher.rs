use bytes::Bytes;

use crate::ingest::Stopped;
use crate::source::SourceHandle;

/// Puts frames into a [`Jetstream`](crate::Jetstream) by hand.
///
/// # Examples
///
/// ```
/// use jetwash::testing::{SimChange, did, frames_from};
/// use jetwash::{Filter, Jetstream, StartFrom};
/// use futures_util::StreamExt;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (jetstream, ingest) = Jetstream::builder().build()?;
/// let mut events = jetstream.subscribe(StartFrom::Oldest, Filter::new()).await?;
/// tokio::spawn(ingest.run(std::future::pending()));
///
/// let pusher = jetstream.pusher("mine");
/// for frame in frames_from([SimChange::identity(did(0), Some("alice.test"))])? {
///     pusher.push(frame).await?;
/// }
/// assert_eq!(events.next().await.unwrap()?.source(), "mine");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Pusher {
    handle: SourceHandle,
}

impl Pusher {
    pub(crate) const fn new(handle: SourceHandle) -> Self {
        Self { handle }
    }

    /// Hands over one frame; waits while the pipeline has enough to do.
    ///
    /// # Errors
    ///
    /// When the Jetstream has stopped.
    pub async fn push(&self, frame: impl Into<Bytes>) -> Result<(), Stopped> {
        self.handle.frame(frame).await
    }
}
