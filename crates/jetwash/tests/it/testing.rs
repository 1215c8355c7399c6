//! The tools with which users of a `Jetstream` test their own handlers.

use std::time::{Duration, UNIX_EPOCH};

use futures_util::StreamExt;
use jetwash::testing::{
    ChangeFault, SimChange, SimWrite, TestingError, did, events_of, frames_from,
};
use jetwash::{Filter, Jetstream, Kind, ManualClock, Micros, Operation, StartFrom};
use jetwash_sim::ScriptedRelay;
use serde_json::{Value, json};

use crate::take;

const POST: &str = "app.bsky.feed.post";

#[test]
fn events_are_what_was_said_to_happen() {
    let record = json!({
        "$type": POST,
        "text": "Hæ",
        "langs": ["da"],
        "reply": {"root": {"cid": {"$link": CID}}},
        "bytes": {"$bytes": "AQI"},
        "number": -5,
    });
    let alice = did(0);
    let events = events_of([
        SimChange::create(&alice, POST, "a", record.clone()),
        SimChange::update(&alice, POST, "a", json!({"$type": POST})),
        SimChange::commit(
            "did:web:bob.example",
            [
                SimWrite::create(POST, "b", json!({"$type": POST})),
                SimWrite::create(POST, "c", json!({"$type": POST})),
            ],
        ),
        SimChange::delete(&alice, POST, "a"),
        SimChange::identity(&alice, Some("alice.test")),
        SimChange::account(&alice, false, Some("suspended")),
    ])
    .unwrap();
    let said: Vec<_> = events
        .iter()
        .map(|event| (event.did().to_owned(), event.kind(), event.operation()))
        .collect();
    let bob = "did:web:bob.example".to_owned();
    let expected = [
        (alice.clone(), Kind::Commit, Some(Operation::Create)),
        (alice.clone(), Kind::Commit, Some(Operation::Update)),
        (bob.clone(), Kind::Commit, Some(Operation::Create)),
        (bob, Kind::Commit, Some(Operation::Create)),
        (alice.clone(), Kind::Commit, Some(Operation::Delete)),
        (alice.clone(), Kind::Identity, None),
        (alice, Kind::Account, None),
    ];
    assert_eq!(said, expected);
    let first: Value = serde_json::from_str(events[0].json()).unwrap();
    assert_eq!(first["commit"]["record"], record);
    let cursors: Vec<u64> = events.iter().map(|event| event.cursor().get()).collect();
    assert_eq!(cursors, (1..=7).collect::<Vec<_>>());
    assert_eq!(events[0].time_us(), Micros::new(1_767_225_600_001_000));
}

#[test]
fn what_makes_no_event_says_why() {
    let absent = events_of([SimChange::delete(did(0), POST, "a")]).unwrap_err();
    assert!(
        matches!(absent, TestingError::SimChange(error) if error.reason == ChangeFault::Delete)
    );
    let key = SimChange::create(did(0), POST, "not a key", json!({"$type": POST}));
    let dropped = events_of([SimChange::account(did(0), true, None), key]).unwrap_err();
    assert!(
        matches!(dropped, TestingError::Dropped { number: 2, .. }),
        "{dropped}"
    );
}

#[tokio::test]
async fn the_times_of_events_are_those_of_the_clock_and_only_grow() {
    let start = UNIX_EPOCH + Duration::from_secs(1_783_175_888);
    let clock = ManualClock::new(start);
    let (jetstream, ingest) = Jetstream::builder().clock(&clock).build().unwrap();
    tokio::spawn(ingest.run(std::future::pending()));
    let pusher = jetstream.pusher("test");
    let mut events = jetstream
        .subscribe(StartFrom::Oldest, Filter::new())
        .await
        .unwrap();
    let changes = (0..3).map(|_| SimChange::account(did(0), true, None));
    let mut times = Vec::new();
    let hour = Duration::from_secs(3600);
    for (frame, now) in frames_from(changes)
        .unwrap()
        .into_iter()
        .zip([start, start + hour, start])
    {
        if now > clock.now() {
            clock.advance(hour);
        } else {
            clock.set(now);
        }
        pusher.push(frame).await.unwrap();
        times.push(events.next().await.unwrap().unwrap().time_us().get());
    }
    let first = 1_783_175_888_000_000;
    assert_eq!(times, [first, first + 3_600_000_000, first + 3_600_000_001]);
}

#[tokio::test(start_paused = true)]
async fn a_relay_that_answers_nothing_is_left_and_asked_again_in_no_time_on_a_paused_clock() {
    let mut relay = ScriptedRelay::start().await.unwrap();
    let (jetstream, ingest) = Jetstream::builder().relay(relay.url()).build().unwrap();
    tokio::spawn(ingest.run(std::future::pending()));
    let start = tokio::time::Instant::now();
    let dead = relay.accept().await.unwrap();
    let mut connection = relay.accept().await.unwrap();
    let waited = start.elapsed();
    assert!((75..=120).contains(&waited.as_secs()), "{waited:?}");
    assert_eq!(jetstream.snapshot().reconnects["silent"], 1);
    drop(dead);
    // One that only has nothing to say is not left.
    connection
        .stay_silent(Duration::from_secs(3600))
        .await
        .unwrap();
    assert_eq!((relay.cursors().len(), relay.cursors()[0]), (2, None));
}

#[tokio::test]
async fn whatever_a_relay_does_each_event_comes_once() {
    let changes: Vec<_> = (0..6)
        .map(|number| {
            let text = json!({"$type": POST, "text": number});
            SimChange::create(did(number % 2), POST, &number.to_string(), text)
        })
        .collect();
    let frames = frames_from(changes).unwrap();
    let mut relay = ScriptedRelay::start().await.unwrap();
    let url = relay.url();
    let (jetstream, ingest) = Jetstream::builder().relay(&url).build().unwrap();
    tokio::spawn(ingest.run(std::future::pending()));
    let reached = async |seq: u64| {
        while jetstream.source_cursor(&url) != Some(seq) {
            tokio::task::yield_now().await;
        }
    };

    let mut connection = relay.accept_at(None).await.unwrap();
    connection.send(frames[..2].to_vec()).await.unwrap();
    reached(2).await;
    connection.disconnect();
    let mut connection = relay.accept_at(Some(2)).await.unwrap();
    connection.send(frames[1..3].to_vec()).await.unwrap();
    connection.send([&b"garbage"[..]]).await.unwrap();
    connection.send(frames[3..5].to_vec()).await.unwrap();
    reached(5).await;
    connection
        .fail("ConsumerTooSlow", "too slow")
        .await
        .unwrap();
    connection.until_closed().await;
    let mut connection = relay.accept_at(Some(5)).await.unwrap();
    connection.inform("OutdatedCursor", "old").await.unwrap();
    connection.send(frames.clone()).await.unwrap();

    let events = take(&jetstream, StartFrom::Oldest, Filter::new(), 6).await;
    let paths: Vec<String> = events
        .iter()
        .map(|event| event.parse().unwrap().commit().unwrap().rkey.to_string())
        .collect();
    assert_eq!(paths, ["0", "1", "2", "3", "4", "5"]);
    assert_eq!(relay.cursors(), [None, Some(2), Some(5)]);
}

const CID: &str = "bafyreib25swk3a6waplk2ie75u4a3qfejnkoiezfowuz7sa74i7tief3di";
