use jetwash_event::Filter;
use jetwash_store::{Cursor, Gap};
use tokio::time::{Instant, timeout_at};

use crate::jetstream::Jetstream;
use crate::read::walk::{Loaded, Walk};
use crate::read::{Event, ReadError, StartFrom};

/// The result of [`Jetstream::poll`].
///
/// # Examples
///
/// ```
/// use jetwash::{Filter, Jetstream, StartFrom};
/// use tokio::time::Instant;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (jetstream, _ingest) = Jetstream::builder().build()?;
/// let polled = jetstream.poll(StartFrom::Oldest, &Filter::new(), 100, Instant::now()).await?;
/// assert!(polled.events.is_empty() && polled.caught_up);
/// let next = StartFrom::Cursor(polled.next);
/// # let _ = next;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Polled {
    /// Where events are missing, or may be, before the first of `events`: nearly always empty. Each
    /// says why, and how many if that is known.
    pub gaps: Vec<Gap>,
    /// The events, oldest first, up to the number asked for. None are missing between them.
    pub events: Vec<Event>,
    /// Where to poll from next time. It may be after the last event, as what does not match has
    /// been passed over.
    pub next: Cursor,
    /// Whether these are all so far.
    pub caught_up: bool,
}

impl Jetstream {
    /// Returns the next events that `filter` matches: for programs that pull, in a function that is
    /// called now and then, or in a loop that does something else in between.
    ///
    /// It returns as soon as it has `max` events, or at least one and no more are there yet;
    /// otherwise it waits until `deadline`. What is already there is returned whatever the
    /// deadline, at least a block at a time. Nothing is kept between calls: the position is in
    /// [`Polled::next`].
    ///
    /// Where events are missing, because a block is damaged, the log has forgotten them, or the
    /// power failed, that is no error: [`Polled::gaps`] says so, and `events` are those behind. It
    /// returns before a gap if it has events by then, and at once at a gap that has nothing behind
    /// it yet.
    ///
    /// # Errors
    ///
    /// When the log cannot be read.
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
    ///     for gap in &polled.gaps {
    ///         println!("{gap}");
    ///     }
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
        let (mut gaps, mut events) = (Vec::new(), Vec::new());
        let (mut has_read, mut is_at_gap) = (false, false);
        while events.len() < max {
            if let Some(event) = walk.next_at_hand() {
                events.push(event);
                continue;
            }
            let is_at_tip = walk.is_at_tip();
            if is_at_tip && !(events.is_empty() && gaps.is_empty()) {
                break;
            }
            // The first block is waited for in any case, so that each call gets somewhere.
            let loaded = if is_at_tip || has_read {
                timeout_at(deadline, walk.load()).await
            } else {
                Ok(walk.load().await)
            };
            match loaded {
                Ok(Some(Ok(Loaded::Events))) => has_read = true,
                Ok(Some(Ok(Loaded::Gap(gap)))) if events.is_empty() => gaps.push(gap),
                Ok(Some(Err(error))) if events.is_empty() && gaps.is_empty() => return Err(error),
                Ok(Some(_)) => {
                    is_at_gap = true;
                    break;
                }
                Ok(None) | Err(_) => break,
            }
        }
        let caught_up = walk.is_at_tip() && !is_at_gap;
        let next = match events.last() {
            // The next call comes to the gap, or the error, again.
            Some(event) if !caught_up => event.cursor(),
            _ => walk.cursor(),
        };
        Ok(Polled {
            gaps,
            events,
            next,
            caught_up,
        })
    }
}
