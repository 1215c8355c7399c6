use jetwash_store::Gap;

use crate::read::Event;

/// An item of a [`Subscription`](crate::Subscription) with gaps.
///
/// # Examples
///
/// ```
/// use futures_util::StreamExt;
/// use jetwash::testing::{SimChange, did, frames_from};
/// use jetwash::{Delivery, Filter, Jetstream, StartFrom};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let frames = frames_from([SimChange::identity(did(0), None)])?;
/// # let frames = futures_util::stream::iter(frames);
/// # let (jetstream, ingest) = Jetstream::builder().frame_stream("test", frames).build()?;
/// let events = jetstream.subscribe(StartFrom::Oldest, Filter::new()).await?;
/// # tokio::spawn(ingest.run(std::future::pending()));
/// match events.with_gaps().next().await.unwrap()? {
///     Delivery::Event(event) => println!("{}", event.json()),
///     Delivery::Gap(gap) => println!("missing: {gap}"),
///     _ => {}
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Delivery {
    /// The next event.
    Event(Event),
    /// Events are missing, or may be, before the next event.
    Gap(Gap),
}
