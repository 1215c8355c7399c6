//! A feed generator: posts with a certain word in them, as Bluesky's apps ask for them.
//!
//! ```text
//! cargo run --release -p feed-generator                # on a simulated network, in memory
//! curl 'http://127.0.0.1:3000/xrpc/app.bsky.feed.getFeedSkeleton?feed=at://did:web:localhost/app.bsky.feed.generator/words'
//!
//! cargo run --release -p feed-generator -- --relay relay1.us-east.bsky.network --data-dir ./feed \
//!   --keyword kaffe --language da --hostname feed.example --publisher did:plc:…
//! ```
//!
//! A [`Jetstream`] follows the network. [`follow`] pulls from it what concerns posts, a few hundred
//! events at a time, and puts it into the SQLite database of an [`Index`]: in one transaction with
//! the cursor, so that after a crash nothing is missing and nothing is there twice. [`router`]
//! answers from that index.
//!
//! Nothing is shown that people took back: a deleted post leaves the index, and so do those of a
//! deleted account; the posts of an account that is taken down, suspended or deactivated are hidden
//! until it is active again.

mod index;
mod rule;
mod server;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use jetwash::{Filter, Jetstream, StartFrom};
use tokio::time::Instant;
use tracing::warn;

pub use crate::index::{Index, IndexError, Page};
pub use crate::rule::{Post, Rule};
pub use crate::server::{Identity, router};

/// Keeps an index up to date, from where it is, until something fails.
///
/// # Errors
///
/// When the log or the index fails.
pub async fn follow(
    jetstream: &Jetstream,
    index: Arc<Index>,
    rule: Arc<Rule>,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let posts = Filter::new().collections(["app.bsky.feed.post"])?;
    let mut start = match index.cursor()? {
        Some(cursor) => StartFrom::Cursor(cursor),
        None => StartFrom::Oldest,
    };
    loop {
        let deadline = Instant::now() + Duration::from_secs(1);
        let polled = jetstream.poll(start, &posts, BATCH, deadline).await?;
        for gap in &polled.gaps {
            warn!("the feed may lack posts: {gap}");
        }
        start = StartFrom::Cursor(polled.next);
        let (index, rule) = (Arc::clone(&index), Arc::clone(&rule));
        // SQLite waits for the disk, which asynchronous tasks must not.
        let apply = move || index.apply(&polled.events, polled.next, &rule);
        tokio::task::spawn_blocking(apply).await??;
    }
}

const BATCH: usize = 500;

/// The examples of the guide, which have to run.
#[cfg(doctest)]
mod guide {
    #[doc = include_str!("../../../docs/guide/feed-author.md")]
    struct FeedAuthor;

    #[doc = include_str!("../../../docs/guide/testing.md")]
    struct Testing;
}
