//! Our own ingest follows a firehose.

use futures_util::StreamExt;
use jetwash::{Filter, FrameStart, Jetstream, StartFrom};
use jetwash_firehose::{FirehoseOptions, JetstreamFrames};

use crate::relay::{Relay, SOURCE, Served, network};

/// The events of a Jetstream without their times, which are each server's own.
async fn events(jetstream: &Jetstream, count: u64) -> Vec<String> {
    let events = jetstream
        .subscribe(StartFrom::Oldest, Filter::new())
        .await
        .unwrap();
    let events = events.take(count as usize).map(|event| {
        let event = event.unwrap();
        let time = format!(r#""time_us":{}"#, event.time_us().get());
        event.json().replacen(&time, "", 1)
    });
    events.collect().await
}

#[tokio::test]
async fn a_jetstream_follows_it_over_a_restart_and_has_the_same_events_and_frames() {
    let origin = Relay::start(1 << 30, FirehoseOptions::default()).await;
    let frames = network(400);
    origin.take_in(&frames[..200]).await;

    let url = origin.served.url("");
    let (follower, ingest) = Jetstream::builder()
        .relay(&url)
        // It has what is before the first frame.
        .relay_cursor(&url, 999)
        .keep_frames(1 << 30)
        .build()
        .unwrap();
    tokio::spawn(ingest.run(std::future::pending()));
    let mut followed = follower.kept_frames(&url, FrameStart::Oldest).unwrap();
    let mut found = Vec::new();
    while found.len() < 200 {
        found.extend(followed.next().await.unwrap().unwrap());
    }

    // The server ends with a goodbye, frames come meanwhile, and another takes its place.
    let address = origin.served.address;
    origin.served.end().await;
    let pusher = origin.jetstream.pusher(SOURCE);
    for frame in &frames[200..] {
        pusher.push(frame.clone()).await.unwrap();
    }
    let source = JetstreamFrames::new(origin.jetstream.clone(), SOURCE).unwrap();
    let _again = Served::start_at(address, source, FirehoseOptions::default()).await;
    while found.len() < 400 {
        found.extend(followed.next().await.unwrap().unwrap());
    }
    let same = found
        .iter()
        .zip(&frames)
        .all(|(found, sent)| found.bytes == *sent);
    assert!(same, "other frames");

    let count = origin.jetstream.bounds().next_seq.get() - 1;
    assert!(count >= 400);
    assert_eq!(
        events(&follower, count).await,
        events(&origin.jetstream, count).await
    );
}
