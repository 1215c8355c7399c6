use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_util::{StreamExt, future, stream};
use jetwash_event::{ContentFilter, Filter};
use jetwash_store::Gap;

use crate::panic::catch;
use crate::read::walk::Walk;
use crate::read::{Delivery, Event, ReadError, Reader};
use crate::stats::Stats;

/// Events from a position on, replayed or live: the subscriber cannot tell and need not.
///
/// [`Jetstream::subscribe`](crate::Jetstream::subscribe) makes one. It is a [`Stream`] that ends
/// when the `Jetstream` has been shut down and everything has been read. It holds no queue: a
/// subscriber that is slow reads older events, from disk if need be.
///
/// Where events are missing it continues with the next that there is. Such a [`Gap`] is counted in
/// `jetwash_gaps_total` and logged; [`take_gaps`](Self::take_gaps) tells of it, and so does
/// [`with_gaps`](Self::with_gaps), in order with the events. An error says that the log cannot be
/// read.
pub struct Subscription {
    pub(super) events: Pin<Box<dyn Stream<Item = Result<Event, ReadError>> + Send>>,
    stats: Arc<Stats>,
    pub(super) gaps: Gaps,
}

/// The gaps that a subscription has come to, and that nobody has asked for yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Gaps(Arc<Mutex<VecDeque<Gap>>>);

impl Gaps {
    fn push(&self, gap: Gap) {
        let mut gaps = self.lock();
        if gaps.len() >= MOST_GAPS {
            gaps.pop_front();
        }
        gaps.push_back(gap);
    }

    pub(super) fn pop(&self) -> Option<Gap> {
        self.lock().pop_front()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Gap>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscription {
    pub(crate) fn new(reader: Reader, filter: Filter, stats: Arc<Stats>) -> Self {
        let gaps = Gaps::default();
        let start = (Walk::new(reader, filter), gaps.clone());
        let events = stream::unfold(start, async |(mut walk, gaps)| {
            loop {
                let event = match walk.next().await? {
                    Ok(Delivery::Event(event)) => Ok(event),
                    Ok(Delivery::Gap(gap)) => {
                        gaps.push(gap);
                        continue;
                    }
                    Err(error) => Err(error),
                };
                return Some((event, (walk, gaps)));
            }
        });
        Self {
            events: Box::pin(events),
            stats,
            gaps,
        }
    }

    /// The gaps that it has come to since this was last called, the oldest first. If nobody asks,
    /// the newest 1,024 are kept.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use futures_util::StreamExt;
    /// use jetwash::{Filter, Jetstream, StartFrom};
    ///
    /// # async fn example(jetstream: Jetstream) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut events = jetstream.subscribe(StartFrom::Oldest, Filter::new()).await?;
    /// while let Some(event) = events.next().await {
    ///     for gap in events.take_gaps() {
    ///         println!("before this event: {gap}");
    ///     }
    ///     println!("{}", event?.json());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn take_gaps(&self) -> Vec<Gap> {
        self.gaps.lock().drain(..).collect()
    }

    /// Skips records that do not match `filter`. Deletes and other events always pass.
    ///
    /// They have no content to judge, and a program that missed them would keep records that are
    /// gone. For the same reason an update that does not match passes too, marked as one that [no
    /// longer matches](Event::no_longer_matches). Use [`filter_with`](Self::filter_with) to skip
    /// these.
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

    /// Skips events for which `predicate` returns `false`. Errors always pass.
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

impl Stream for Subscription {
    type Item = Result<Event, ReadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.events.as_mut().poll_next(context)
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").finish_non_exhaustive()
    }
}

/// How many gaps a subscription keeps until it is asked for them.
const MOST_GAPS: usize = 1_024;
