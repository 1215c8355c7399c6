//! Subscriptions by what is in the records.

use std::sync::Arc;

use futures_util::{StreamExt, future};
use jetwash_event::{ContentFilter, Facts, Operation};

use crate::panic::catch;
use crate::subscription::{Event, ReadError, Subscription};

impl Event {
    /// What filters by content ask about the record: found once, by the first subscription that
    /// asks, and shared by all. `None` if the event carries no record.
    #[must_use]
    pub fn facts(&self) -> Option<&Facts> {
        let record = self.record_json()?;
        self.block.facts(self.index, || record)
    }

    /// Whether it is an update whose record does not match the content filter of the
    /// [subscription](Subscription::content) or [consumer](crate::Consumer::content) that gave it.
    ///
    /// The record may have matched before: a post about coffee that is about tea now. Whoever keeps
    /// what matches treats it as a deletion, and [`change`](Self::change) says so. What the record
    /// was before is not looked up, so an update of a record that never matched is given as well.
    #[must_use]
    pub const fn no_longer_matches(&self) -> bool {
        self.no_longer
    }

    /// Whether a filter by content gives this event; notes it if that is only because the record
    /// may have matched before.
    pub(crate) fn is_given_by(&mut self, content: &[ContentFilter]) -> bool {
        if content.is_empty() {
            return true;
        }
        let matches = self
            .facts()
            .is_none_or(|facts| content.iter().all(|filter| filter.matches(facts)));
        if !matches && self.operation() == Some(Operation::Update) {
            self.no_longer = true;
            return true;
        }
        matches
    }
}

impl Subscription {
    /// Gives of the events with a record only those that `filter` matches.
    ///
    /// Deletions, and what is told of identities and accounts, have no content to be judged by: they
    /// are all given, so that nothing is kept that should be gone. For the same reason an update
    /// that does not match is given too, as one that [no longer matches](Event::no_longer_matches).
    /// Whoever does not want them adds [`filter_with`](Self::filter_with).
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
        let content = [filter];
        let events = self.events.filter_map(move |mut event| {
            let is_given = match &mut event {
                Ok(event) => event.is_given_by(&content),
                Err(_) => true,
            };
            future::ready(is_given.then_some(event))
        });
        Self {
            events: Box::pin(events),
            stats: self.stats,
            gaps: self.gaps,
        }
    }

    /// Gives only the events for which `predicate` says so. Errors are given in any case.
    ///
    /// If `predicate` panics, [`ReadError::Panicked`] comes in place of the event.
    #[must_use]
    pub fn filter_with(self, mut predicate: impl FnMut(&Event) -> bool + Send + 'static) -> Self {
        let stats = Arc::clone(&self.stats);
        let events = self.events.filter_map(move |event| {
            let judged = event.and_then(|event| match catch(|| predicate(&event)) {
                Ok(is_wanted) => Ok(is_wanted.then_some(event)),
                Err(panic) => {
                    stats.panicked("filter", &panic);
                    Err(ReadError::Panicked(panic.to_string()))
                }
            });
            future::ready(judged.transpose())
        });
        Self {
            events: Box::pin(events),
            stats: self.stats,
            gaps: self.gaps,
        }
    }
}
