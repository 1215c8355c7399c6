use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use crate::read::{Delivery, Event, ReadError, Subscription};

impl Subscription {
    /// Yields gaps too, each as soon as it is known and before the event behind it.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use futures_util::StreamExt;
    /// use jetwash::{Delivery, Filter, Jetstream, StartFrom};
    ///
    /// # async fn example(jetstream: Jetstream) -> Result<(), Box<dyn std::error::Error>> {
    /// let events = jetstream.subscribe(StartFrom::Oldest, Filter::new()).await?;
    /// let mut deliveries = events.with_gaps();
    /// while let Some(delivery) = deliveries.next().await {
    ///     match delivery? {
    ///         Delivery::Event(event) => println!("{}", event.json()),
    ///         Delivery::Gap(gap) => println!("{gap}"),
    ///         _ => {}
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub const fn with_gaps(self) -> SubscriptionWithGaps {
        SubscriptionWithGaps {
            subscription: self,
            next: None,
        }
    }
}

/// A [`Subscription`] that gives gaps in order with the events: see [`Subscription::with_gaps`].
///
/// # Examples
///
/// ```
/// use futures_util::StreamExt;
/// use jetwash::testing::{SimChange, did, frames_from};
/// use jetwash::{Filter, Jetstream, StartFrom};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let frames = frames_from([SimChange::identity(did(0), None)])?;
/// # let frames = futures_util::stream::iter(frames);
/// # let (jetstream, ingest) = Jetstream::builder().frame_stream("test", frames).build()?;
/// let events = jetstream.subscribe(StartFrom::Oldest, Filter::new()).await?;
/// # tokio::spawn(ingest.run(std::future::pending()));
/// let mut deliveries = events.with_gaps();
/// let first = deliveries.next().await.unwrap()?;
/// println!("{first:?}");
/// # Ok(())
/// # }
/// ```
pub struct SubscriptionWithGaps {
    subscription: Subscription,
    /// The item behind the gaps that have not been given yet.
    next: Option<Option<Result<Event, ReadError>>>,
}

impl Stream for SubscriptionWithGaps {
    type Item = Result<Delivery, ReadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = match self.next.take() {
            Some(next) => Poll::Ready(next),
            None => self.subscription.events.as_mut().poll_next(context),
        };
        // It may have come to a gap, whether or not there is an event behind it.
        if let Some(gap) = self.subscription.gaps.pop() {
            match next {
                Poll::Ready(next) => self.next = Some(next),
                // The next poll finds out by itself what else there is.
                Poll::Pending => {}
            }
            return Poll::Ready(Some(Ok(Delivery::Gap(gap))));
        }
        next.map(|next| next.map(|event| event.map(Delivery::Event)))
    }
}

impl fmt::Debug for SubscriptionWithGaps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubscriptionWithGaps")
            .finish_non_exhaustive()
    }
}
