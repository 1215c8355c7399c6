//! The frames of a relay, sent on byte for byte: `com.atproto.sync.subscribeRepos` as an axum
//! [`Router`](axum::Router).
//!
//! [`Firehose`] has the route and its readers. The frames come from a [`FrameSource`]:
//! [`JetstreamFrames`] reads those that a [`Jetstream`](jetwash::Jetstream) keeps on disk, and a
//! program that has frames elsewhere implements the trait.
//!
//! A reader is a socket and a position among the frames, never a queue. A slow reader reads older
//! frames, from disk if necessary, and is closed only when the frames that it needs are gone or
//! when its socket takes nothing.
//!
//! # Cursors
//!
//! Sequence numbers are those of the source, so readers can change over to the relay that the
//! frames came from and back with one cursor.
//!
//! | cursor | answer |
//! | --- | --- |
//! | none | the frames to come |
//! | 0 | all frames that are kept, then those to come |
//! | among those kept | the frame of that number and all after it |
//! | older | `#info` `OutdatedCursor`, then as for 0 |
//! | above the newest | the error frame `FutureCursor`, then the close code 1008 |
//! | not a whole number from 0 up, empty, or given twice | HTTP status 400 |
//! | above 0 while the source does not know any number yet | HTTP status 503 |
//!
//! The frame of the cursor itself is sent again, as the specification says, so a client skips
//! numbers up to its cursor. A cursor of just one below the oldest frame misses nothing and gets no
//! `#info`.
//!
//! # Ends
//!
//! | reason | error frame | close code |
//! | --- | --- | --- |
//! | `too_slow`: the frames that it needs are gone, or its socket took nothing | `ConsumerTooSlow` | 1008 |
//! | `future_cursor`, also when the source begins to count anew | `FutureCursor` | 1008 |
//! | `failed`: frames cannot be read | `InternalServerError` | 1011 |
//! | `too_large`: it sent a message above [`FirehoseOptions::max_message_bytes`] | | 1009 |
//! | `flooding`: it sent too many messages | | 1008 |
//! | `silent`: it did not answer pings | | |
//! | `stopping`: [`Firehose::close`] was called, or the source has ended | | 1001 |
//! | `gone`: it left | | |
//!
//! # Metrics
//!
//! | name | type | labels | meaning |
//! | --- | --- | --- | --- |
//! | `jetwash_firehose_readers` | gauge | | readers that are connected |
//! | `jetwash_firehose_frames_sent_total` | counter | | frames written to readers |
//! | `jetwash_firehose_bytes_sent_total` | counter | | bytes of these frames |
//! | `jetwash_firehose_cursors_total` | counter | `cursor` | readers by their cursor: `none`, `zero`, `kept`, `outdated` or `future` |
//! | `jetwash_firehose_refused_total` | counter | `reason` | requests that were refused: `method`, `handshake`, `cursor`, `total`, `address`, `stopping` or `empty` |
//! | `jetwash_firehose_ended_total` | counter | `reason` | readers that have gone, by the reasons above |
//!
//! [`Firehose::counts`] has the sums for programs without a recorder.
//!
//! # Examples
//!
//! A relay behind another one, and a client that reads it from the start:
//!
//! ```
//! use axum::Router;
//! use futures_util::StreamExt;
//! use jetwash::testing::{SimChange, did, frames_from};
//! use jetwash::Jetstream;
//! use jetwash_firehose::{Firehose, FirehoseOptions, JetstreamFrames};
//! use jetwash_serve::{HttpLimits, serve_http};
//! use tokio::net::TcpListener;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (jetstream, ingest) = Jetstream::builder().keep_frames(64 << 20).build()?;
//! tokio::spawn(ingest.run(std::future::pending()));
//! let sent = frames_from([SimChange::identity(did(0), Some("alice.test"))])?;
//! jetstream.pusher("upstream").push(sent[0].clone()).await?;
//!
//! let frames = JetstreamFrames::new(jetstream, "upstream")?;
//! let firehose = Firehose::new(frames, FirehoseOptions::default());
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let url = format!(
//!     "ws://{}/xrpc/com.atproto.sync.subscribeRepos?cursor=0",
//!     listener.local_addr()?
//! );
//! let app = Router::new().merge(firehose.router());
//! tokio::spawn(serve_http(listener, app, HttpLimits::default(), std::future::pending()));
//!
//! let (mut client, _) = tokio_tungstenite::connect_async(url).await?;
//! let frame = client.next().await.ok_or("nothing came")??;
//! assert_eq!(frame.into_data(), sent[0]);
//! firehose.close(std::time::Duration::from_secs(1)).await;
//! # Ok(())
//! # }
//! ```

mod connections;
mod counts;
mod end;
mod firehose;
mod frames;
mod jetstream_frames;
mod options;
mod reader;
mod refusal;
mod request;
mod shared;
mod source;
mod start;

pub use counts::FirehoseCounts;
pub use firehose::Firehose;
pub use jetstream_frames::JetstreamFrames;
pub use options::FirehoseOptions;
pub use source::{FrameSource, FrameSourceError, FrameStream};
