//! Subscriptions by what is in the records.

use futures_util::{StreamExt, future};
use jetwash_event::{ContentFilter, Facts};

use crate::subscription::{Event, Subscription};

impl Event {
    /// What filters by content ask about the record: found once, by the first subscription that
    /// asks, and shared by all. `None` if the event carries no record.
    #[must_use]
    pub fn facts(&self) -> Option<&Facts> {
        let record = self.record_json()?;
        self.block.facts(self.index, || record)
    }
}

impl Subscription {
    /// Gives of the events with a record only those that `filter` matches.
    ///
    /// Deletions, and what is told of identities and accounts, have no content to be judged by: they
    /// are all given, so that nothing is kept that should be gone. Whoever does not want them adds
    /// [`filter_with`](Self::filter_with).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use jetwash::{ContentFilter, Filter, Jetstream, StartFrom};
    ///
    /// # async fn example(jetstream: Jetstream) -> Result<(), Box<dyn std::error::Error>> {
    /// let posts = Filter::new().collections(["app.bsky.feed.post"])?;
    /// let danish = ContentFilter::new().languages(["da"]).replies(false);
    /// let events = jetstream.subscribe(StartFrom::Live, posts).await?.content(danish);
    /// # drop(events);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn content(self, filter: ContentFilter) -> Self {
        self.filter_with(move |event| event.facts().is_none_or(|facts| filter.matches(facts)))
    }

    /// Gives only the events for which `is_wanted` says so. Errors are given in any case.
    #[must_use]
    pub fn filter_with(self, mut is_wanted: impl FnMut(&Event) -> bool + Send + 'static) -> Self {
        let events = self
            .events
            .filter(move |event| future::ready(event.as_ref().map_or(true, &mut is_wanted)));
        Self {
            events: Box::pin(events),
            gaps: self.gaps,
        }
    }
}
