//! A source of one's own, which does what a test says.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::{StreamExt, stream};
use jetwash::store::FrameBounds;
use jetwash::{FrameStart, KeptFrame};
use jetwash_firehose::{FirehoseOptions, FrameSource, FrameSourceError, FrameStream};

use crate::relay::Served;

type Item = Result<Vec<KeptFrame>, FrameSourceError>;

pub(crate) struct Scripted {
    pub(crate) bounds: Option<FrameBounds>,
    items: Mutex<Vec<Item>>,
    ends: bool,
}

impl Scripted {
    /// A source that gives its items to the reader that comes first, and then either ends or stays
    /// silent.
    pub(crate) fn new(items: Vec<Item>, ends: bool) -> Self {
        Self {
            bounds: Some(FrameBounds::new(100, 201)),
            items: Mutex::new(items),
            ends,
        }
    }

    pub(crate) fn silent() -> Self {
        Self::new(Vec::new(), false)
    }
}

impl FrameSource for Scripted {
    fn bounds(&self) -> Option<FrameBounds> {
        self.bounds
    }

    fn frames(&self, _start: FrameStart) -> FrameStream {
        let items = std::mem::take(&mut *self.items.lock().unwrap());
        let items = stream::iter(items);
        if self.ends {
            Box::pin(items)
        } else {
            Box::pin(items.chain(stream::pending()))
        }
    }
}

fn frame(seq: u64) -> Vec<KeptFrame> {
    vec![KeptFrame::new(seq, seq.to_string().into_bytes())]
}

fn lost(from: u64, oldest: u64) -> Item {
    Err(FrameSourceError::Lost { from, oldest })
}

#[tokio::test]
async fn a_ring_that_moves_on_before_the_first_frame_makes_the_cursor_outdated() {
    let items = vec![lost(100, 150), lost(150, 160), Ok(frame(160))];
    let source = Scripted::new(items, true);
    let served = Served::start(source, FirehoseOptions::default()).await;
    let mut client = served.connect("?cursor=100").await;
    // Once, however often it moves.
    assert_eq!(client.info().await, "OutdatedCursor");
    assert_eq!(client.next().await, b"160");
    assert_eq!(client.close().await, (1001, String::new()));
    assert_eq!(served.firehose.counts().outdated_cursors, 1);
}

#[tokio::test]
async fn a_ring_that_moves_past_a_reader_ends_it() {
    let items = vec![Ok(frame(100)), Ok(Vec::new()), lost(101, 150)];
    let source = Scripted::new(items, false);
    let served = Served::start(source, FirehoseOptions::default()).await;
    let mut client = served.connect("?cursor=100").await;
    assert_eq!(client.next().await, b"100");
    assert_eq!(client.error().await, "ConsumerTooSlow");
    assert_eq!(client.close().await, (1008, "ConsumerTooSlow".to_owned()));
    assert_eq!(served.firehose.counts().too_slow, 1);
}

#[tokio::test]
async fn a_source_that_counts_anew_puts_its_readers_in_the_future() {
    let source = Scripted::new(vec![lost(150, 1)], false);
    let served = Served::start(source, FirehoseOptions::default()).await;
    let mut client = served.connect("?cursor=150").await;
    assert_eq!(client.error().await, "FutureCursor");
    assert_eq!(client.close().await, (1008, "FutureCursor".to_owned()));
}

#[tokio::test]
async fn a_source_that_fails_is_told_without_its_cause() {
    let error = FrameSourceError::Failed("/secret/path is full".into());
    let source = Scripted::new(vec![Ok(frame(100)), Err(error)], false);
    let served = Served::start(source, FirehoseOptions::default()).await;
    let mut client = served.connect("?cursor=100").await;
    assert_eq!(client.next().await, b"100");
    let frame = client.next().await;
    let text = String::from_utf8_lossy(&frame);
    assert!(text.contains("InternalServerError"), "{text}");
    assert!(!text.contains("secret"), "{text}");
    assert_eq!(client.close().await.0, 1011);
    assert_eq!(served.firehose.counts().failed, 1);
}

#[tokio::test]
async fn a_source_in_an_arc_is_a_source_too() {
    struct Counted(AtomicUsize);
    impl FrameSource for Counted {
        fn bounds(&self) -> Option<FrameBounds> {
            None
        }
        fn frames(&self, _start: FrameStart) -> FrameStream {
            self.0.fetch_add(1, Ordering::Relaxed);
            Box::pin(stream::empty())
        }
    }
    let source = std::sync::Arc::new(Counted(AtomicUsize::new(0)));
    let served = Served::start(source.clone(), FirehoseOptions::default()).await;
    let mut client = served.connect("").await;
    assert_eq!(client.close().await.0, 1001);
    assert_eq!(source.0.load(Ordering::Relaxed), 1);
}
