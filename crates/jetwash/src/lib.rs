//! A Jetstream you embed: the AT Protocol firehose as small JSON events inside your program.
//!
//! A [`Jetstream`] takes the frames of a relay (`com.atproto.sync.subscribeRepos`: signed Merkle
//! diffs in CBOR, some 5 KB each), keeps of each what the commit changed, and appends it as a line
//! of JSON of about 500 bytes to a log that holds the last day. Any number of subscriptions read
//! that log, each from a position of its own and through a filter of its own.
//!
//! ```no_run
//! use futures_util::StreamExt;
//! use jetwash::{Filter, Jetstream, StartFrom};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let jetstream = Jetstream::builder().relay("relay1.us-east.bsky.network").build()?;
//! let posts = Filter::new().collections(["app.bsky.feed.post"])?;
//! let mut events = jetstream.subscribe(StartFrom::Live, posts).await?;
//! tokio::spawn(jetstream.run(std::future::pending()));
//! while let Some(event) = events.next().await {
//!     println!("{}", event?.json());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # The parts
//!
//! - [`Jetstream`] and its [builder](Jetstream::builder): sources, log, retention, dictionary and
//!   ingest filter. `build()` checks everything and opens the log, but no socket;
//!   [`run`](Jetstream::run) connects, and ends when the future given to it does.
//! - [`Subscription`]: a [`Stream`](futures_core::Stream) of [`Event`]s from [`StartFrom`] on.
//! - [`Reader`]: the same block by block, for servers.
//! - [`Pipeline`]: the way in without runtime, sockets and clock.
//! - [`event`], [`frame`], [`mst`], [`dict`] and [`store`]: the crates that this one composes.
//!
//! # What is promised
//!
//! - Events have a [`Cursor`] that is never reused, and a time in microseconds that is never the
//!   same for two; both only grow.
//! - Events and the relay's cursor are stored together: after a crash the relay sends again what
//!   was not stored.
//! - A frame that cannot be used costs itself alone, and is counted with its reason in
//!   [`Jetstream::snapshot`].
//! - Memory does not depend on how many subscribe or how slow they are.
//!
//! # Features
//!
//! - `did-file`: `DidFile`, a set of accounts that is loaded from a file, and again whenever it
//!   changes.
//! - `simulator`: `JetstreamBuilder::simulator`, a network in the process, for trying things out,
//!   and the module `testing`, for the tests of your own handlers.

mod auto_dictionary;
mod builder;
mod clock;
mod content;
mod dedup;
#[cfg(feature = "did-file")]
mod did_file;
mod frames;
mod jetstream;
mod metrics;
mod pipeline;
mod poll;
mod record;
mod record_cache;
mod selection;
#[cfg(feature = "simulator")]
mod simulator;
mod stats;
mod subscription;
#[cfg(feature = "simulator")]
pub mod testing;
mod upstream;
mod walk;

pub use auto_dictionary::AutoDictionary;
pub use builder::{BuildError, JetstreamBuilder, Mistake};
pub use clock::{Clock, ManualClock};
#[cfg(feature = "did-file")]
pub use did_file::{DidFile, DidFileError, DidFileStatus};
pub use frames::{FrameSubscription, FramesError};
pub use jetstream::{Jetstream, Pusher, RotateError, RunError};
pub use jetwash_dict as dict;
pub use jetwash_dict::Dictionary;
pub use jetwash_event as event;
pub use jetwash_event::{ContentFilter, DidChange, DidSet, Facts, Filter, Kind, Operation};
pub use jetwash_frame as frame;
pub use jetwash_mst as mst;
#[cfg(feature = "simulator")]
pub use jetwash_sim::NetworkConfig;
pub use jetwash_store as store;
pub use jetwash_store::{FrameStart, KeptFrame};
pub use pipeline::Pipeline;
pub use poll::Polled;
pub use record::{Change, EventId};
pub use selection::Selection;
#[cfg(feature = "simulator")]
pub use simulator::SIMULATOR;
pub use stats::Snapshot;
pub use subscription::{
    Cursor, Event, Phase, ReadError, Reader, StartFrom, Subscription, frames_of, json_of,
};
pub use upstream::{Endpoint, EndpointError, Stopped};
