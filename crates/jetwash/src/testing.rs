//! Makes events for the tests of programs that embed `jetwash`, without a network.
//!
//! A handler is best tested with the events that it would really get. [`events_of`] makes them of
//! what you say happened: it has an account sign a commit, a relay frame it, and a pipeline turn it
//! into an event.
//!
//! ```
//! use jetwash::testing::{SimChange, did, events_of};
//! use jetwash::{Event, Operation};
//! use serde_json::json;
//!
//! /// What we want to test: how many posts there are.
//! #[derive(Default)]
//! struct Posts(i64);
//!
//! impl Posts {
//!     fn handle(&mut self, event: &Event) {
//!         match (event.collection(), event.operation()) {
//!             (Some("app.bsky.feed.post"), Some(Operation::Create)) => self.0 += 1,
//!             (Some("app.bsky.feed.post"), Some(Operation::Delete)) => self.0 -= 1,
//!             _ => {}
//!         }
//!     }
//! }
//!
//! # fn main() -> Result<(), jetwash::testing::TestingError> {
//! let alice = did(0);
//! let post = json!({"$type": "app.bsky.feed.post", "text": "Hej", "createdAt": "2026-01-01T00:00:00Z"});
//! let events = events_of([
//!     SimChange::create(&alice, "app.bsky.feed.post", "3mbe4fkq22222", post.clone()),
//!     SimChange::create(did(1), "app.bsky.feed.post", "3mbe4fkq22222", post),
//!     SimChange::delete(&alice, "app.bsky.feed.post", "3mbe4fkq22222"),
//! ])?;
//! let mut posts = Posts::default();
//! for event in &events {
//!     posts.handle(event);
//! }
//! assert_eq!(posts.0, 1);
//! # Ok(())
//! # }
//! ```
//!
//! To test a program with its subscriptions, give the [frames](frames_from) to a
//! [`Jetstream`](crate::Jetstream), by
//! [`JetstreamBuilder::frame_stream`](crate::JetstreamBuilder::frame_stream) all at once or by a
//! [`Pusher`](crate::Pusher) one after the other. To test what it does when its relay misbehaves,
//! play the relay: `jetwash_sim::ScriptedRelay` is one whose every connection a test controls. To
//! test what it does as time passes, bring a [`ManualClock`](crate::ManualClock).

use bytes::Bytes;
use jetwash_store::{Location, OpenError, Options, Read, Store, StoreError};
use thiserror::Error;

use crate::ingest::Pipeline;
use crate::read::{Event, Phase};

pub use jetwash_sim::{ChangeError, ChangeFault, ManualNetwork, SimChange, SimWrite, did};

/// The events of these changes, in their order.
///
/// They are what a subscription gives: times grow by a millisecond for each change, from
/// 2026-01-01 on, and cursors by one for each event. Each
/// change makes one, but for a commit, which makes one for each of its operations.
///
/// # Errors
///
/// When a change cannot be, such as a deletion of what is not there, or when the pipeline turns
/// its frame away, as it does with an invalid DID or record key.
///
/// # Examples
///
/// ```
/// use jetwash::Kind;
/// use jetwash::testing::{SimChange, did, events_of};
///
/// let events = events_of([SimChange::account(did(0), false, Some("takendown"))])?;
/// assert_eq!(events[0].kind(), Kind::Account);
/// assert_eq!(events[0].did(), did(0));
///
/// let error = events_of([SimChange::account("alice", true, None)]).unwrap_err();
/// assert_eq!(error.to_string(), "change 1, of alice, makes no event: did_invalid");
/// # Ok::<(), jetwash::testing::TestingError>(())
/// ```
pub fn events_of(changes: impl IntoIterator<Item = SimChange>) -> Result<Vec<Event>, TestingError> {
    let (appender, log) = jetwash_store::open(Location::Memory, Options::default())?;
    let mut pipeline = Pipeline::new(appender);
    let mut network = ManualNetwork::new();
    for (index, change) in changes.into_iter().enumerate() {
        let frame = network.apply(&change)?;
        pipeline.frame(SOURCE, &frame.bytes, network.time())?;
        if let Some(reason) = pipeline.snapshot().dropped.keys().next() {
            return Err(TestingError::Dropped {
                number: index + 1,
                did: change.did().to_owned(),
                reason,
            });
        }
    }
    pipeline.commit()?;
    all(&log)
}

/// The frames of these changes, in their order, as a relay sends them.
///
/// # Errors
///
/// When a change cannot be, such as a deletion of what is not there.
///
/// # Examples
///
/// ```
/// use futures_util::{StreamExt, stream};
/// use jetwash::testing::{SimChange, did, frames_from};
/// use jetwash::{Filter, Jetstream, StartFrom};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let frames = frames_from([SimChange::identity(did(0), Some("alice.test"))])?;
/// let (jetstream, ingest) = Jetstream::builder().frame_stream("test", stream::iter(frames)).build()?;
/// let mut events = jetstream.subscribe(StartFrom::Oldest, Filter::new()).await?;
/// tokio::spawn(ingest.run(std::future::pending()));
/// let event = events.next().await.unwrap()?;
/// assert!(event.json().contains(r#""handle":"alice.test""#));
/// # Ok(())
/// # }
/// ```
pub fn frames_from(
    changes: impl IntoIterator<Item = SimChange>,
) -> Result<Vec<Bytes>, ChangeError> {
    let mut network = ManualNetwork::new();
    let frame = |change| Ok(network.apply(&change)?.bytes.into());
    changes.into_iter().map(frame).collect()
}

/// Why changes did not become events.
///
/// # Examples
///
/// ```
/// use jetwash::testing::{SimChange, TestingError, events_of};
///
/// match events_of([SimChange::account("alice", true, None)]) {
///     Err(TestingError::Dropped { number, reason, .. }) => {
///         assert_eq!((number, reason), (1, "did_invalid"));
///     }
///     other => panic!("{other:?}"),
/// }
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TestingError {
    /// A change that cannot be.
    #[error(transparent)]
    SimChange(#[from] ChangeError),
    /// The pipeline turned a frame, or an operation of it, away.
    #[error("change {number}, of {did}, makes no event: {reason}")]
    Dropped {
        /// Which change, counted from 1.
        number: usize,
        /// Its account.
        did: String,
        /// Why, as [`Snapshot::dropped`](crate::Snapshot::dropped) says it.
        reason: &'static str,
    },
    /// The log in memory could not be made.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The log in memory failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Everything that is in a log.
fn all(log: &Store) -> Result<Vec<Event>, TestingError> {
    let mut events = Vec::new();
    let mut position = log.bounds().oldest_seq;
    while let Read::Events(run) = log.read(position)? {
        let (block, page) = (run.block(), run.block().json()?);
        let indexes = run.indexes();
        events.extend(indexes.filter_map(|index| Event::at(block, page, index, Phase::Live)));
        position = run.next_seq();
    }
    Ok(events)
}

const SOURCE: &str = "testing";
