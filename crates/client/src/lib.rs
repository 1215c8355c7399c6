//! A client of Jetstream servers, versions 1 and 2: a stream of events that survives reconnects.
//!
//! A [`Client`] connects to a host, or to the next of a list when one fails. It asks for compressed
//! messages, gets the dictionary they need, and returns events, which keep the text that they came
//! in: a [`ClientEvent`] is read without copying, and its record not before it is asked for. The
//! stream resumes after the last event: what comes twice is recognised, and what is missing is an
//! item of the stream, a [`ClientGap`].
//!
//! A [`ClientFilter`] is applied by the server as far as the wire allows, and by the client in full.
//! A [`ClientHandle`] changes it while the stream runs, and reads the counters.
//!
//! # Examples
//!
//! ```no_run
//! use jetwash_client::{Client, ClientFilter, ClientItem};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let filter = ClientFilter::new().collections(["app.bsky.feed.post"])?;
//! let mut client = Client::builder(["jetstream2.us-east.bsky.network"])
//!     .filter(filter)
//!     .build()?;
//! while let Some(item) = client.next().await {
//!     let ClientItem::Event(event) = item? else { continue };
//!     let Some(commit) = event.commit() else { continue };
//!     println!("at://{}/{}/{}", event.did(), commit.collection, commit.rkey);
//!     // Store `client.cursor()` once the event is handled, and start with it the next time.
//! }
//! # Ok(()) }
//! ```
//!
//! The parts, from the socket up: `connection` makes connections and reads messages, `wire` turns
//! them into events, `resume` joins connections without loss or repeats, and `run` is the task that
//! does all of it.

mod builder;
mod client;
mod connection;
mod cursor;
mod error;
mod filter;
mod item;
mod protocol;
mod resume;
mod run;
mod snapshot;
mod wire;

pub use builder::ClientBuilder;
pub use client::{Client, ClientHandle};
pub use connection::HostError;
pub use cursor::{ParseUpstreamCursorError, UpstreamCursor};
pub use error::{ClientBuildError, ClientError};
pub use filter::ClientFilter;
pub use item::{ClientGap, ClientGapCause, ClientItem, Connected, Disconnected};
pub use jetwash_dict::{Dictionary, DictionaryError};
pub use jetwash_event::{
    Account, DidSet, FilterError, Identity, Micros, Operation, ParseRecordError, ParsedEvent,
};
pub use protocol::Protocol;
pub use snapshot::ClientSnapshot;
pub use wire::{ClientBody, ClientCommit, ClientEvent, ClientKind, ClientSync, Malformed};
