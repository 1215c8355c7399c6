use jetwash_event::Filter;
use tokio::time::{Instant, timeout_at};

use crate::jetstream::Jetstream;
use crate::subscription::{Cursor, Event, ReadError, StartFrom};
use crate::walk::Walk;

/// What [`Jetstream::poll`] found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Polled {
    /// The events, oldest first; at most as many as were asked for.
    pub events: Vec<Event>,
    /// Where to poll from next time. It may be after the last event, as what does not match has
    /// been passed over.
    pub next: Cursor,
    /// Whether that was all there is so far.
    pub caught_up: bool,
}

impl Jetstream {
    /// The next events that `filter` matches, for those who would rather pull: a function that is
    /// called now and then, or a loop that does something else in between.
    ///
    /// It returns as soon as it has `max` events, or at least one and no more are there yet;
    /// otherwise it waits until `deadline`. What is already there is returned whatever the
    /// deadline, at least a block at a time. Nothing is kept between calls: the position is in
    /// [`Polled::next`].
    ///
    /// # Errors
    ///
    /// When events are gone or damaged, and none could be read before them. To go on after them,
    /// poll from the cursor before `next` of [`ReadError::Lost`] or [`ReadError::Damaged`].
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use jetwash::{Filter, Jetstream, StartFrom};
    /// use tokio::time::Instant;
    ///
    /// # async fn example(jetstream: Jetstream) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut start = StartFrom::Oldest;
    /// loop {
    ///     let deadline = Instant::now() + Duration::from_secs(10);
    ///     let polled = jetstream.poll(start, &Filter::new(), 500, deadline).await?;
    ///     println!("{} events", polled.events.len());
    ///     start = StartFrom::Cursor(polled.next);
    /// }
    /// # }
    /// ```
    pub async fn poll(
        &self,
        start: StartFrom,
        filter: &Filter,
        max: usize,
        deadline: Instant,
    ) -> Result<Polled, ReadError> {
        let mut walk = Walk::new(self.reader(start).await?, filter.clone());
        let mut events = Vec::new();
        let (mut has_read, mut has_failed) = (false, false);
        while events.len() < max {
            if let Some(event) = walk.next_at_hand() {
                events.push(event);
                continue;
            }
            let is_at_tip = walk.is_at_tip();
            if is_at_tip && !events.is_empty() {
                break;
            }
            // The first block is waited for in any case, so that each call gets somewhere.
            let loaded = if is_at_tip || has_read {
                timeout_at(deadline, walk.load()).await
            } else {
                Ok(walk.load().await)
            };
            has_read = true;
            match loaded {
                Ok(Some(Ok(()))) => {}
                Ok(Some(Err(error))) if events.is_empty() => return Err(error),
                Ok(Some(Err(_))) => {
                    has_failed = true;
                    break;
                }
                Ok(None) | Err(_) => break,
            }
        }
        let caught_up = walk.is_at_tip() && !has_failed;
        let next = match events.last() {
            // What could not be read is met again by the next call.
            Some(event) if !caught_up => event.cursor(),
            _ => walk.cursor(),
        };
        Ok(Polled {
            events,
            next,
            caught_up,
        })
    }
}
