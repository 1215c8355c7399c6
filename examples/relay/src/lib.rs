//! A small relay: the frames of another one, kept and sent on byte for byte, beside a Jetstream.
//!
//! ```text
//! cargo run --release -p relay                  # of a simulated network, in memory
//! cargo run --release -p relay -- --relay relay1.us-east.bsky.network --data-dir ./relay
//! ```
//!
//! Two streams come from one connection to the upstream relay:
//!
//! - `/xrpc/com.atproto.sync.subscribeRepos?cursor=` sends the frames as they came, signatures and
//!   proofs and all, so that those who read it need not trust us;
//! - `/subscribe` sends what they say as JSON, as a Jetstream does.
//!
//! The frames come from a ring that the [`Jetstream`] keeps on disk
//! ([`keep_frames`](jetwash::JetstreamBuilder::keep_frames)). A reader is a position in it, so that
//! slow readers cost no memory: one that falls out of the ring is told so and closed. Sequence
//! numbers are those of upstream, so that its readers can change over with the cursor they have.

use std::time::Duration;

use axum::Router;
use jetwash::{FramesError, Jetstream};
use jetwash_firehose::{Firehose, FirehoseOptions, JetstreamFrames};
use jetwash_serve::{ServeOptions, Server};

/// Both streams of one Jetstream.
#[derive(Clone, Debug)]
pub struct Relay {
    frames: Firehose,
    events: Server,
}

impl Relay {
    /// Makes a relay of the frames of `source`, and of all events.
    ///
    /// # Errors
    ///
    /// When the Jetstream keeps no frames.
    pub fn new(jetstream: Jetstream, source: &str) -> Result<Self, FramesError> {
        let frames = JetstreamFrames::new(jetstream.clone(), source)?;
        Ok(Self {
            frames: Firehose::new(frames, FirehoseOptions::default()),
            events: Server::new(jetstream, ServeOptions::default()),
        })
    }

    /// Returns the routes of both.
    pub fn router(&self) -> Router {
        self.frames.router().merge(self.events.router())
    }

    /// Closes all readers of both.
    pub async fn close(&self, within: Duration) {
        tokio::join!(self.frames.close(within), self.events.close(within));
    }
}

/// The examples of the guide, which have to run.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guide/relay-builder.md")]
struct Guide;
