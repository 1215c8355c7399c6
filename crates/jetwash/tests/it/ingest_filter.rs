//! An ingest filter that is replaced while events come in.

use std::pin::pin;

use futures_util::FutureExt;
use jetwash::testing::{SimChange, did, frames_from};
use jetwash::{DidSet, Filter, IngestFilterError, Jetstream, Stopped};
use serde_json::json;
use tokio::sync::oneshot;

use crate::lines;

const COLLECTIONS: [&str; 2] = ["app.example.like", "app.example.post"];

fn only(collection: usize) -> Filter {
    Filter::new()
        .collections([COLLECTIONS[collection]])
        .unwrap()
}

#[tokio::test]
async fn another_filter_holds_from_the_cursor_that_is_told() {
    let creates = (0..400).map(|number| {
        let (collection, record) = (COLLECTIONS[number % 2], json!({ "number": number }));
        SimChange::create(did(0), collection, &format!("{number}"), record)
    });
    let frames = frames_from(creates).unwrap();
    let (jetstream, ingest) = Jetstream::builder().ingest_filter(only(0)).build().unwrap();
    let mut before = pin!(jetstream.set_ingest_filter(only(1)));
    assert!(before.as_mut().now_or_never().is_none());
    let (stop, stopped) = oneshot::channel::<()>();
    let run = tokio::spawn(ingest.run(async { drop(stopped.await) }));
    assert_eq!(before.await.unwrap().get(), 0);
    let pusher = jetstream.pusher("by hand");
    // Which events were judged by the filter as it was between two changes.
    let mut spans = Vec::new();
    for (round, frames) in frames.chunks(20).enumerate() {
        // These may be judged before the change or after it.
        for frame in &frames[..10] {
            pusher.push(frame.clone()).await.unwrap();
        }
        let filter = only(round % 2);
        let first = jetstream.set_ingest_filter(filter).await.unwrap();
        for frame in &frames[10..] {
            pusher.push(frame.clone()).await.unwrap();
        }
        while jetstream.snapshot().frames < (round as u64 + 1) * 20 {
            tokio::task::yield_now().await;
        }
        let last = jetstream.holds_from(DidSet::new().clear()).await.unwrap();
        spans.push((first, last, COLLECTIONS[round % 2]));
    }
    drop(stop);
    run.await.unwrap().unwrap();
    let events = lines(jetstream.store());
    for (first, last, allowed) in spans {
        let (first, last) = (first.get() as usize, last.get() as usize);
        assert!(last >= first + 5, "from {first} to {last}");
        for line in &events[first..last] {
            assert!(line.contains(allowed), "{line} from {first} to {last}");
        }
    }
    let stopped = IngestFilterError::Stopped(Stopped);
    assert_eq!(jetstream.set_ingest_filter(only(0)).await, Err(stopped));
}

#[tokio::test]
async fn a_mirror_has_no_filter() {
    let (jetstream, _ingest) = Jetstream::builder().mirror("a.example").build().unwrap();
    let outcome = jetstream.set_ingest_filter(only(0)).await;
    assert_eq!(outcome, Err(IngestFilterError::Mirror));
}
