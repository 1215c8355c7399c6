//! The data that events carry, and polling for them.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::StreamExt;
use jetwash::event::{ParseRecordError, RecordCborError};
use jetwash::store::{self, Location, Options};
use jetwash::{
    Change, Cursor, Event, Filter, Jetstream, Kind, Micros, NetworkConfig, Operation, Phase,
    Pipeline, Polled, ReadError, StartFrom,
};
use jetwash_corpus::corpus;
use jetwash_sim::Network;
use serde_json::Value;
use tokio::time::Instant;

use crate::take;

/// A log on disk with `frames` simulated frames in it, to be opened by a Jetstream that never runs.
pub(crate) fn filled(folder: &std::path::Path, frames: usize) -> Jetstream {
    let location = Location::Disk(folder.to_owned());
    let (appender, _) = store::open(location, Options::default()).unwrap();
    let mut pipeline = Pipeline::new(appender);
    let network = NetworkConfig {
        accounts: 10,
        records: 100,
        rare_per_million: 50_000,
        ..NetworkConfig::default()
    };
    for frame in Network::new(network).unwrap().take(frames) {
        pipeline
            .frame("simulator", &frame.bytes, Micros::new(now_us()))
            .unwrap();
    }
    pipeline.commit().unwrap();
    drop(pipeline);
    Jetstream::builder().folder(folder).build().unwrap().0
}

fn now_us() -> u64 {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap();
    since.as_micros() as u64
}

async fn all(jetstream: &Jetstream) -> Vec<Event> {
    let count = jetstream.bounds().events() as usize;
    take(jetstream, StartFrom::Oldest, Filter::new(), count).await
}

#[tokio::test]
async fn every_event_has_an_id_of_its_own_that_its_content_decides() {
    let folder = tempfile::tempdir().unwrap();
    let jetstream = filled(folder.path(), 1500);
    let events = all(&jetstream).await;
    let kinds: HashSet<Kind> = events.iter().map(Event::kind).collect();
    assert_eq!(kinds.len(), 4, "not every kind occurs");
    let ids: HashSet<_> = events.iter().map(Event::id).collect();
    assert_eq!(ids.len(), events.len());
    for event in &events {
        let line: Value = serde_json::from_str(event.json()).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let (did, kind) = (text(&line["did"]), text(&line["kind"]));
        let body = &line[&kind];
        let expected = if kind == "commit" {
            let field = |name: &str| text(&body[name]);
            let (rev, rkey, operation) = (field("rev"), field("rkey"), field("operation"));
            format!("{did}/{rev}/{}/{rkey}/{operation}", field("collection"))
        } else {
            format!("{did}/{kind}/{}/{}", text(&body["time"]), body["seq"])
        };
        assert_eq!(event.id().as_str(), expected);
    }
}

#[tokio::test]
async fn a_record_is_there_as_type_as_json_and_as_cbor() {
    let Some(corpus) = corpus("recorded frames through the events' accessors") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Disk(folder.path().to_owned());
    let (appender, _) = store::open(location, Options::default()).unwrap();
    let mut pipeline = Pipeline::new(appender);
    for frame in corpus.frames("firehose-2026-07-04/frames.bin.zst") {
        pipeline
            .frame("relay", &frame, Micros::new(now_us()))
            .unwrap();
    }
    pipeline.commit().unwrap();
    drop(pipeline);
    let (jetstream, _ingest) = Jetstream::builder().folder(folder.path()).build().unwrap();
    let (mut records, mut deletions) = (0, 0);
    for event in all(&jetstream).await {
        let line: Value = serde_json::from_str(event.json()).unwrap();
        let commit = &line["commit"];
        assert_eq!(event.rev(), commit["rev"].as_str());
        assert_eq!(event.rkey(), commit["rkey"].as_str());
        if commit["record"].is_null() {
            deletions += usize::from(event.operation() == Some(Operation::Delete));
            assert_eq!(event.record_json(), None);
            assert_eq!(event.record_cbor(), Err(RecordCborError::Absent));
            let parsed = event.record::<Value>();
            assert!(matches!(parsed, Err(ParseRecordError::Absent)));
            continue;
        }
        assert_eq!(event.record::<Value>().unwrap(), commit["record"]);
        assert!(event.json().contains(event.record_json().unwrap()));
        // That the bytes are right is what the CID says, which came with the frame.
        let cbor = event.record_cbor().unwrap();
        let cid = event.cid().unwrap();
        assert_eq!(cid.to_string(), commit["cid"].as_str().unwrap());
        assert!(cid.matches(&cbor));
        records += 1;
    }
    assert!(records > 50 && deletions > 0, "{records} {deletions}");
}

#[tokio::test]
async fn a_change_is_one_of_six() {
    let folder = tempfile::tempdir().unwrap();
    let jetstream = filled(folder.path(), 1500);
    let mut counts = [0; 6];
    for event in all(&jetstream).await {
        let change = event.change().unwrap();
        assert_eq!(change.kind(), event.kind());
        let index = match change {
            Change::Create(commit) => {
                assert!(commit.record.is_some());
                0
            }
            Change::Update(_) => 1,
            Change::Delete(commit) => {
                assert!(commit.record.is_none());
                2
            }
            Change::Identity(_) => 3,
            Change::Account(_) => 4,
            Change::Sync(sync) => {
                assert_eq!(event.rev(), Some(sync.rev.as_str()));
                assert!(!sync.blocks.is_empty());
                5
            }
        };
        counts[index] += 1;
    }
    assert!(!counts.contains(&0), "{counts:?}");
}

#[tokio::test]
async fn events_are_replayed_until_the_tip_and_live_from_then_on() {
    let folder = tempfile::tempdir().unwrap();
    let old = filled(folder.path(), 200).bounds().events() as usize;
    let (jetstream, ingest) = Jetstream::builder().folder(folder.path()).build().unwrap();
    let mut events = jetstream
        .subscribe(StartFrom::Oldest, Filter::new())
        .await
        .unwrap();
    tokio::spawn(ingest.run(std::future::pending()));
    for _ in 0..old {
        assert_eq!(events.next().await.unwrap().unwrap().phase(), Phase::Replay);
    }
    let from_now = jetstream
        .subscribe(StartFrom::Live, Filter::new())
        .await
        .unwrap();
    let other = NetworkConfig {
        seed: 7,
        ..NetworkConfig::default()
    };
    let frame = Network::new(other).unwrap().next().unwrap().bytes;
    jetstream.pusher("hand").push(frame).await.unwrap();
    for mut events in [events, from_now] {
        assert_eq!(events.next().await.unwrap().unwrap().phase(), Phase::Live);
    }
}

async fn poll(jetstream: &Jetstream, start: StartFrom, filter: &Filter, max: usize) -> Polled {
    let deadline = Instant::now() + Duration::from_secs(3600);
    jetstream.poll(start, filter, max, deadline).await.unwrap()
}

#[tokio::test]
async fn polling_gives_what_a_subscription_gives_in_pieces() {
    let folder = tempfile::tempdir().unwrap();
    let jetstream = filled(folder.path(), 1000);
    let filter = Filter::new().collections(["app.bsky.feed.like"]).unwrap();
    let cursors = |events: &[Event]| -> Vec<Cursor> { events.iter().map(Event::cursor).collect() };
    let mut expected = all(&jetstream).await;
    expected.retain(|event| {
        event
            .collection()
            .is_none_or(|name| name == "app.bsky.feed.like")
    });
    let mut found = Vec::new();
    let mut start = StartFrom::Oldest;
    loop {
        let polled = poll(&jetstream, start, &filter, 7).await;
        assert!(polled.events.len() <= 7);
        found.extend(cursors(&polled.events));
        start = StartFrom::Cursor(polled.next);
        if polled.caught_up {
            break;
        }
        assert_eq!(polled.events.len(), 7);
    }
    assert_eq!(found, cursors(&expected));
}

#[tokio::test(start_paused = true)]
async fn a_poll_waits_for_its_deadline_and_no_longer() {
    let (jetstream, _ingest) = Jetstream::builder().build().unwrap();
    let (start, wait) = (Instant::now(), Duration::from_secs(30));
    let polled = jetstream
        .poll(StartFrom::Oldest, &Filter::new(), 10, start + wait)
        .await
        .unwrap();
    assert!(polled.events.is_empty() && polled.caught_up);
    assert_eq!(polled.next, Cursor::START);
    assert_eq!(start.elapsed(), wait);
}

#[tokio::test]
async fn a_poll_whose_deadline_is_over_still_gets_somewhere() {
    let folder = tempfile::tempdir().unwrap();
    let jetstream = filled(folder.path(), 1500);
    let count = jetstream.bounds().events() as usize;
    let (mut start, mut found) = (StartFrom::Oldest, 0);
    while found < count {
        let over = Instant::now();
        let polled = jetstream.poll(start, &Filter::new(), 1000, over).await;
        let polled = polled.unwrap();
        assert!(!polled.events.is_empty());
        found += polled.events.len();
        start = StartFrom::Cursor(polled.next);
    }
    assert_eq!(found, count);
}

#[tokio::test]
async fn a_subscription_has_no_stored_cursor() {
    let (jetstream, _ingest) = Jetstream::builder().build().unwrap();
    let refused = jetstream.subscribe(StartFrom::Stored, Filter::new()).await;
    assert!(matches!(refused, Err(ReadError::NothingStored)));
}
