//! A Jetstream you embed: the AT Protocol firehose as small JSON events inside your program.
//!
//! A [`Jetstream`] takes the frames of a relay (`com.atproto.sync.subscribeRepos`: signed Merkle
//! diffs in CBOR, some 5 KB each), keeps of each what the commit changed, and appends it as a line
//! of JSON of about 500 bytes to a log that holds the last day. Any number of subscriptions read
//! that log, each from its own position and through its own filter. Without a
//! [folder](JetstreamBuilder::folder) the log is in memory, and holds no more than 128 MiB.
//!
//! ```no_run
//! use futures_util::StreamExt;
//! use jetwash::{Filter, Jetstream, StartFrom};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let (jetstream, ingest) = Jetstream::builder().relay("relay1.us-east.bsky.network").build()?;
//! let posts = Filter::new().collections(["app.bsky.feed.post"])?;
//! let mut events = jetstream.subscribe(StartFrom::Live, posts).await?;
//! tokio::spawn(ingest.run(std::future::pending()));
//! while let Some(event) = events.next().await {
//!     println!("{}", event?.json());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # A tour
//!
//! Along the way of the data, from the network to your program:
//!
//! 1. [`Jetstream::builder`] takes sources and settings. [`build`](JetstreamBuilder::build) checks
//!    them, opens the log but no socket, and returns two things: the [`Jetstream`], a handle to
//!    clone and to ask, and the [`Ingest`], which does the work.
//! 2. [`Ingest::run`] connects to the relays until its shutdown. Frames of your own come as a
//!    [stream](JetstreamBuilder::frame_stream), or are [pushed](Jetstream::pusher). A
//!    [mirror](JetstreamBuilder::mirror) takes over the log of another jetwash instead.
//! 3. The [ingest filter](JetstreamBuilder::ingest_filter) turns frames away by account, collection
//!    and kind before they are decoded. A [`DidSet`] holds any number of accounts, and changes
//!    while it is read.
//! 4. The [`Pipeline`] decodes the rest, finds the records, encodes each of them once for all
//!    readers, and appends it to the log. It is the way in without runtime, sockets and clock.
//! 5. The log holds each event at a [`Seq`], with a time in [`Micros`], for as long as
//!    [retention](JetstreamBuilder::retain_for) says. [`Jetstream::store`] reads it directly.
//! 6. Out it goes: [`Jetstream::subscribe`] returns a stream of [`Event`]s from [`StartFrom`] on,
//!    [`Jetstream::poll`] a page of them, [`Jetstream::reader`] whole blocks for servers, and a
//!    [`Consumer`] calls your code. A reader continues by its [`Cursor`], and is told of each
//!    [`Gap`].
//! 7. How it does: [`Jetstream::snapshot`] counts, with everything that was dropped by reason;
//!    [`Jetstream::upstreams`] and [`Jetstream::readiness`] tell of the relays.
//!
//! The crates that this one composes are here as [`event`], [`frame`], [`mst`], [`dict`] and
//! [`store`]. `jetwash-serve` serves a `Jetstream` over websockets, and `jetwash-spool` writes it to
//! files.
//!
//! # Consumers
//!
//! Most programs want more than a stream: to continue where they were after a restart, to handle
//! several events at once and yet keep what one account does in order, to try again what failed,
//! and to know when they fall behind. That is a [consumer](Jetstream::consumer):
//!
//! ```
//! use jetwash::event::Account;
//! use jetwash::{Event, Failure, Filter, Jetstream, StartFrom, TypedHandler, typed};
//! # use std::collections::HashMap;
//! # use std::sync::{Arc, Mutex};
//!
//! /// A feed of posts about rain, by their URIs.
//! #[derive(Clone, Default)]
//! struct Rain(Arc<Mutex<HashMap<String, String>>>);
//!
//! #[derive(serde::Deserialize)]
//! struct Post {
//!     text: String,
//! }
//!
//! impl TypedHandler for Rain {
//!     type Record = Post;
//!
//!     async fn put(&self, event: &Event, post: Post) -> Result<(), Failure> {
//!         let uri = event.uri().ok_or_else(|| Failure::skip("no record"))?;
//!         if post.text.contains("rain") {
//!             self.0.lock().unwrap().insert(uri, post.text);
//!         }
//!         Ok(())
//!     }
//!
//!     // These two have to be written: what is deleted or taken down must go.
//!     async fn delete(&self, event: &Event) -> Result<(), Failure> {
//!         self.0.lock().unwrap().remove(&event.uri().unwrap_or_default());
//!         Ok(())
//!     }
//!
//!     async fn account(&self, event: &Event, account: Account) -> Result<(), Failure> {
//!         if !account.active {
//!             let theirs = format!("at://{}/", event.did());
//!             self.0.lock().unwrap().retain(|uri, _| !uri.starts_with(&theirs));
//!         }
//!         Ok(())
//!     }
//! }
//!
//! # #[cfg(feature = "simulator")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let network = jetwash::NetworkConfig { accounts: 10, records: 100, ..Default::default() };
//! let (jetstream, ingest) = Jetstream::builder()
//!     // .relay("relay1.us-east.bsky.network").folder("data") in production
//! #   .simulator(network, None)
//!     .build()?;
//! tokio::spawn(ingest.run(std::future::pending()));
//!
//! let feed = Rain::default();
//! let consumer = jetstream
//!     .consumer("rain")
//!     .filter(Filter::new().collections(["app.bsky.feed.post"])?)
//!     .start_from(StartFrom::Oldest)
//!     .workers(8);
//! let handle = consumer.handle();
//! let running = tokio::spawn(consumer.run(typed(feed.clone())));
//!
//! while handle.status().handled < 100 {
//!     tokio::time::sleep(std::time::Duration::from_millis(5)).await;
//! }
//! println!("{:?} behind at {:?}", handle.lag().handler.time, handle.lag().slowest());
//! handle.stop().await;
//! running.await??;
//! assert!(handle.status().stored.is_some());
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "simulator"))]
//! # fn main() {}
//! ```
//!
//! - **What is done is known.** The cursor in the log's store is the lowest position up to which
//!   everything is done, however the workers finish. It is stored every second, and at the end, and
//!   never goes back. After a crash what came after it comes again: handlers are written so that an
//!   event may come twice, with the help of [`Event::id`].
//! - **What fails is tried again**, with growing waits ([`Retry`]), while other accounts continue. An
//!   error can say otherwise: [`Failure::skip`], [`Failure::dead_letter`], [`Failure::stop`]. A
//!   panic is a failure like any other.
//! - **What cannot be handled is put aside**, not lost: [`Jetstream::dead_letters`] lists and
//!   discards, [`ConsumerHandle::replay`] tries once more.
//! - **What hangs is named**, by account and position, in the log, in the metrics and in
//!   [`ConsumerHandle::status`]; [`Consumer::when_stuck`] can give it up.
//! - **What is slow is known.** [`Lag`] tells the network, this process and the handler apart, in
//!   seconds, events and bytes; the metrics `jetwash_consumer_lag_seconds`, `…_events` and
//!   `…_bytes` say the same with the labels `consumer` and `stage`.
//!
//! Programs that would rather pull call [`Jetstream::poll`].
//!
//! # What is promised
//!
//! - Events have a [`Seq`] that is never reused, and a time in microseconds that is never the same
//!   for two; both only grow.
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

mod build_error;
mod builder;
mod clock;
mod config;
mod consumer;
#[cfg(feature = "did-file")]
mod did_file;
mod executor;
mod ingest;
mod jetstream;
mod labelers;
mod labels;
mod log_sort;
mod mirrors;
mod noise;
mod panic;
mod read;
mod retention;
mod short;
mod source;
mod stats;
mod tasks;
#[cfg(feature = "simulator")]
pub mod testing;
mod upstreams;
mod verify;

pub use build_error::{BuildError, Mistake};
pub use builder::JetstreamBuilder;
pub use clock::{Clock, ManualClock};
pub use consumer::{
    Behind, Blocking, Consumer, ConsumerError, ConsumerHandle, ConsumerStatus, DeadLetter, Failure,
    Handler, HeldBy, Lag, Letters, LettersError, NotRunning, Reaction, Replayed, Retry, Stage,
    StuckHandler, Typed, TypedHandler, WhenStuck, blocking, typed,
};
#[cfg(feature = "did-file")]
pub use did_file::{DidFile, DidFileError, DidFileStatus};
#[doc(hidden)]
pub use executor::run_blocking;
pub use ingest::{AutoDictionary, Pipeline, RotateError, Stopped};
pub use jetstream::{Ingest, IngestFilterError, Jetstream, RunError};
pub use jetwash_client as client;
pub use jetwash_client::{Protocol, UpstreamCursor};
pub use jetwash_dict as dict;
pub use jetwash_dict::Dictionary;
pub use jetwash_event as event;
pub use jetwash_event::{
    ActiveLabel, ContentFilter, DidChange, DidSet, Facts, Filter, Kind, LabelCounts, LabelDraft,
    LabelError, LabelEvent, Labels, Micros, Operation,
};
pub use jetwash_frame as frame;
pub use jetwash_identity as identity;
pub use jetwash_mst as mst;
#[cfg(feature = "simulator")]
pub use jetwash_sim::{ConfigError, NetworkConfig};
pub use jetwash_store as store;
pub use jetwash_store::{Cursor, FrameStart, Gap, GapCause, KeptFrame, LogId, Seq, UpstreamGap};
pub use jetwash_verify as verification;
pub use jetwash_verify::{Policy, Reason, Verdict};
pub use read::{
    Change, Delivery, Event, EventId, FrameSubscription, FramesError, Phase, Polled, ReadError,
    Reader, Reading, Selection, StartFrom, Subscription, SubscriptionWithGaps, compressed_of,
    json_of, some_json_of,
};
pub use rustls;
pub use source::{
    Endpoint, EndpointError, JetstreamOptions, MirrorAddressError, NotReady, Pusher,
    RelayOptionError, RelayOptions, Source, SourceHandle, Upstream, UpstreamState,
};
#[cfg(feature = "simulator")]
pub use source::{SIMULATOR, simulator_identities};
pub use stats::Snapshot;
pub use verify::{Resync, Resyncs, ResyncsLagged, Verify};
