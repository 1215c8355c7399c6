use std::error::Error;
use std::future::Future;

use crate::source::SourceHandle;

/// Where frames or events come from: a relay, a Jetstream, or anything of your own, such as a topic
/// of frames or a recorded file.
///
/// [`JetstreamBuilder::source`](crate::JetstreamBuilder::source) takes any. What a source brings is
/// checked like all that comes from outside: what is malformed is dropped and counted, and what
/// comes twice is in the log once.
///
/// # Examples
///
/// A topic of frames, which are numbered there from 1:
///
/// ```
/// use std::error::Error;
/// use futures_util::StreamExt;
/// use jetwash::testing::{SimChange, did, frames_from};
/// use jetwash::{Filter, Jetstream, Source, SourceHandle, StartFrom};
///
/// struct Topic(Vec<bytes::Bytes>);
///
/// impl Source for Topic {
///     fn name(&self) -> &str {
///         "topic"
///     }
///
///     async fn run(&mut self, handle: SourceHandle) -> Result<(), Box<dyn Error + Send + Sync>> {
///         let done = handle.cursor().unwrap_or(0);
///         for (number, frame) in (1..).zip(&self.0).skip(done as usize) {
///             handle.frame_at(number, frame.clone()).await?;
///         }
///         Ok(())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn Error>> {
/// let topic = Topic(frames_from([SimChange::identity(did(0), Some("alice.test"))])?);
/// let (jetstream, ingest) = Jetstream::builder().source(topic).build()?;
/// let mut events = jetstream.subscribe(StartFrom::Oldest, Filter::new()).await?;
/// tokio::spawn(ingest.run(std::future::pending()));
/// assert_eq!(events.next().await.unwrap()?.source(), "topic");
/// # Ok(())
/// # }
/// ```
pub trait Source: Send + 'static {
    /// Returns its name, always the same: that of its cursor in the log, of its gaps, and of its
    /// line in [`Jetstream::upstreams`](crate::Jetstream::upstreams). No two sources have one name.
    /// It has no `#`.
    fn name(&self) -> &str;

    /// Whether it has a connection to report, by [`SourceHandle::connected`] and
    /// [`SourceHandle::disconnected`]. It is then listed in
    /// [`Jetstream::upstreams`](crate::Jetstream::upstreams), and counts for
    /// [`Jetstream::readiness`](crate::Jetstream::readiness). Defaults to `false`.
    fn is_upstream(&self) -> bool {
        false
    }

    /// Brings frames or events until there are no more.
    ///
    /// It begins behind [`SourceHandle::cursor`]. The future is dropped when the ingest stops, at
    /// one of its awaits; what was handed over by then is taken in. `Ok` ends the source for good.
    /// After an error or a panic this is called again, after a pause of 1 s that doubles up to 60 s;
    /// what `self` keeps is there as it was left. Only the first panic ends up as the error of
    /// [`Ingest::run`](crate::Ingest::run).
    ///
    /// # Errors
    ///
    /// Whatever keeps it from continuing. [`Stopped`](crate::Stopped), which the handle returns, may
    /// be passed on.
    fn run(
        &mut self,
        handle: SourceHandle,
    ) -> impl Future<Output = Result<(), Box<dyn Error + Send + Sync>>> + Send;
}
