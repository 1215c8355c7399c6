use jetwash_event::Filter;
use jetwash_store::Cursor;
use thiserror::Error;
use tokio::sync::oneshot;

use crate::ingest::{Question, Stopped};
use crate::jetstream::Jetstream;

impl Jetstream {
    /// Puts another [ingest filter](crate::JetstreamBuilder::ingest_filter) in the place of the one
    /// there is, while events come in, and returns the cursor from which it holds: every event after
    /// it has passed the new filter, and frames that were not wanted before are taken in.
    ///
    /// Events in the log stay, whatever the new filter says of them. The closure of
    /// [`ingest_filter_with`](crate::JetstreamBuilder::ingest_filter_with) stays too. A
    /// [Jetstream](crate::JetstreamBuilder::jetstream) that events come from is told within some
    /// seconds what to send from then on. The next start goes by the builder's filter again.
    ///
    /// Where commits are verified, the chains of accounts are followed only while the filter names no
    /// collections. Once it has stopped naming any, the next commit of an account may be one before
    /// which others are missing, as after a start with another filter.
    ///
    /// It waits until the [ingest](crate::Ingest) runs, as [`holds_from`](Self::holds_from) does.
    ///
    /// # Errors
    ///
    /// When the log is a mirror, or the ingest has stopped or was dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use jetwash::{Filter, Jetstream};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let posts = Filter::new().collections(["app.bsky.feed.post"])?;
    /// let (jetstream, ingest) = Jetstream::builder().ingest_filter(posts).build()?;
    /// tokio::spawn(ingest.run(std::future::pending()));
    /// let feeds = Filter::new().collections(["app.bsky.feed.*"])?;
    /// let cursor = jetstream.set_ingest_filter(feeds).await?;
    /// // The log is empty: it holds from the first event.
    /// assert_eq!(cursor.get(), 0);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn set_ingest_filter(&self, filter: Filter) -> Result<Cursor, IngestFilterError> {
        if self.shared.is_mirror {
            return Err(IngestFilterError::Mirror);
        }
        Ok(self.judged_from(Some(filter)).await?)
    }

    /// The cursor behind which frames are judged by all that has changed until now, and by another
    /// filter if there is one.
    pub(super) async fn judged_from(&self, filter: Option<Filter>) -> Result<Cursor, Stopped> {
        let (answer, answered) = oneshot::channel();
        let question = Question { filter, answer };
        let asked = self.shared.questions.send(question).await;
        asked.map_err(|_| Stopped)?;
        let next = answered.await.map_err(|_| Stopped)?;
        Ok(Cursor::before(next))
    }
}

/// Why the ingest filter stays [as it was](Jetstream::set_ingest_filter).
///
/// # Examples
///
/// ```
/// use jetwash::{Filter, IngestFilterError, Jetstream};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (jetstream, ingest) = Jetstream::builder().build()?;
/// ingest.run(std::future::ready(())).await?;
/// match jetstream.set_ingest_filter(Filter::new()).await {
///     Err(IngestFilterError::Stopped(_)) => println!("too late"),
///     other => panic!("{other:?}"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum IngestFilterError {
    /// A mirror has the events of its origin, all of them.
    #[error("a mirror has all events of its origin: use a filter there")]
    Mirror,
    /// There will be no more events to judge.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}
