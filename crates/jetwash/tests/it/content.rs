//! Subscriptions by what is in the records.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use futures_util::{StreamExt, stream};
use jetwash::event::Account;
use jetwash::testing::{SimChange, did, frames_from};
use jetwash::{
    Change, ContentFilter, Event, Failure, Filter, Ingest, Jetstream, Kind, NetworkConfig,
    Operation, StartFrom, TypedHandler, typed,
};
use serde_json::{Value, json};

use crate::take;

#[tokio::test]
async fn content_is_judged_and_what_has_none_is_given() {
    let network = NetworkConfig {
        accounts: 10,
        records: 100,
        ..NetworkConfig::default()
    };
    let (jetstream, ingest) = Jetstream::builder()
        .simulator(network, None)
        .build()
        .unwrap();
    let run = tokio::spawn(ingest.run(std::future::pending()));
    let all = take(&jetstream, StartFrom::Oldest, Filter::new(), 2000).await;
    let filter = ContentFilter::new().languages(["en"]).replies(false);
    let is_wanted = |event: &Event| {
        let Some(record) = event.record_json() else {
            return true;
        };
        if event.operation() == Some(Operation::Update) {
            return true;
        }
        let record: Value = serde_json::from_str(record).unwrap();
        let languages = record["langs"].as_array().into_iter().flatten();
        let mut languages = languages.filter_map(Value::as_str);
        record.get("reply").is_none() && languages.any(|tag| tag.starts_with("en"))
    };
    let expected: Vec<_> = all.iter().filter(|event| is_wanted(event)).collect();
    assert!(expected.iter().any(|event| event.record_json().is_some()));
    assert!(expected.iter().any(|event| event.record_json().is_none()));
    assert!(expected.len() < all.len() / 2);
    let events = jetstream.subscribe(StartFrom::Oldest, Filter::new()).await;
    let events = events.unwrap().content(filter);
    let found: Vec<_> = events
        .take(expected.len())
        .map(|event| event.unwrap().cursor())
        .collect()
        .await;
    let expected: Vec<_> = expected.iter().map(|event| event.cursor()).collect();
    assert_eq!(found, expected);
    run.abort();
}

#[tokio::test]
async fn a_closure_filters_too() {
    let (jetstream, ingest) = Jetstream::builder()
        .simulator(NetworkConfig::default(), None)
        .build()
        .unwrap();
    let run = tokio::spawn(ingest.run(std::future::pending()));
    let events = jetstream.subscribe(StartFrom::Oldest, Filter::new()).await;
    let events = events
        .unwrap()
        .filter_with(|event| event.kind() == Kind::Commit);
    let events = events.filter_with(|event| event.cursor().get().is_multiple_of(3));
    let found: Vec<Event> = events.take(50).map(Result::unwrap).collect().await;
    assert!(
        found
            .iter()
            .all(|event| event.kind() == Kind::Commit && event.cursor().get().is_multiple_of(3))
    );
    run.abort();
}

#[tokio::test]
async fn facts_are_found_once_and_shared() {
    let (jetstream, ingest) = Jetstream::builder()
        .simulator(NetworkConfig::default(), None)
        .build()
        .unwrap();
    let run = tokio::spawn(ingest.run(std::future::pending()));
    let first = take(&jetstream, StartFrom::Oldest, Filter::new(), 100).await;
    let second = take(&jetstream, StartFrom::Oldest, Filter::new(), 100).await;
    let mut shared = 0;
    for (first, second) in first.iter().zip(&second) {
        if let (Some(first), Some(second)) = (first.facts(), second.facts()) {
            shared += usize::from(std::ptr::eq(first, second));
        }
    }
    // The block at the tip is made anew as it grows; those before it are one for all.
    assert!(shared > 0);
    run.abort();
}

#[tokio::test]
async fn filters_that_ask_for_more_and_for_less_stand_beside_each_other() {
    let post = |tag: &str| {
        let tags = [tag];
        json!({"$type": POST, "text": "Kaffe!", "tags": tags, "createdAt": "2026-01-01T00:00:00Z"})
    };
    let frames = frames_from([
        SimChange::create(did(0), POST, "1", post("kaffe")),
        SimChange::create(did(0), POST, "2", post("te")),
    ]);
    let (jetstream, ingest) = Jetstream::builder().build().unwrap();
    let run = tokio::spawn(ingest.run(std::future::pending()));
    for frame in frames.unwrap() {
        jetstream.pusher("mine").push(frame).await.unwrap();
    }
    let found = async |filter: ContentFilter, count: usize| {
        let posts = Filter::new().collections([POST]).unwrap();
        let events = jetstream.subscribe(StartFrom::Oldest, posts).await.unwrap();
        let events = events.content(filter).take(count);
        let cursors = events.map(|event| event.unwrap().cursor().get());
        cursors.collect::<Vec<_>>().await
    };
    // The facts without hashtags are found first, and do not stand in for those with them.
    let words = found(ContentFilter::new().word("kaffe"), 2).await;
    let tagged = found(ContentFilter::new().hashtag("#Te"), 1).await;
    assert_eq!((words.len(), &tagged[..]), (2, &words[1..]));
    run.abort();
}

/// A post about coffee that becomes one about tea, one that was always about tea, and another about
/// coffee.
fn coffee_and_tea() -> (Jetstream, Ingest) {
    let post =
        |text: &str| json!({"$type": POST, "text": text, "createdAt": "2026-01-01T00:00:00Z"});
    let frames = frames_from([
        SimChange::create(did(0), POST, "1", post("good coffee")),
        SimChange::create(did(0), POST, "2", post("good tea")),
        SimChange::update(did(0), POST, "1", post("better coffee")),
        SimChange::update(did(0), POST, "1", post("good tea")),
        SimChange::create(did(0), POST, "3", post("more coffee")),
    ]);
    let frames = stream::iter(frames.unwrap());
    Jetstream::builder()
        .frame_stream("test", frames)
        .build()
        .unwrap()
}

#[tokio::test]
async fn an_edit_that_removes_the_keyword_is_given_as_no_longer_matching() {
    let (jetstream, ingest) = coffee_and_tea();
    let run = tokio::spawn(ingest.run(std::future::pending()));
    let events = jetstream.subscribe(StartFrom::Oldest, Filter::new()).await;
    let coffee = ContentFilter::new().text("coffee");
    let events = events.unwrap().content(coffee);
    let given: Vec<Event> = events.take(4).map(Result::unwrap).collect().await;
    let told: Vec<_> = given
        .iter()
        .map(|event| {
            let is_gone = matches!(event.change().unwrap(), Change::Delete(_));
            let rkey = event.rkey().unwrap().to_owned();
            (rkey, event.no_longer_matches(), is_gone)
        })
        .collect();
    let expected = [("1", false), ("1", false), ("1", true), ("3", false)];
    let expected = expected.map(|(rkey, is_gone)| (rkey.to_owned(), is_gone, is_gone));
    assert_eq!(told, expected);
    run.abort();
}

#[derive(Clone, Default)]
struct Feed(Arc<Mutex<BTreeMap<String, String>>>);

impl TypedHandler for Feed {
    type Record = Value;

    async fn put(&self, event: &Event, post: Value) -> Result<(), Failure> {
        let text = post["text"].as_str().unwrap().to_owned();
        let rkey = event.rkey().unwrap().to_owned();
        self.0.lock().unwrap().insert(rkey, text);
        Ok(())
    }

    async fn delete(&self, event: &Event) -> Result<(), Failure> {
        self.0.lock().unwrap().remove(event.rkey().unwrap());
        Ok(())
    }

    async fn account(&self, _: &Event, _: Account) -> Result<(), Failure> {
        Ok(())
    }
}

#[tokio::test]
async fn a_feed_by_keyword_forgets_what_is_edited_to_be_about_something_else() {
    let (jetstream, ingest) = coffee_and_tea();
    let run = tokio::spawn(ingest.run(std::future::pending()));
    let feed = Feed::default();
    let consumer = jetstream
        .consumer("coffee")
        .start_from(StartFrom::Oldest)
        .content(ContentFilter::new().text("coffee"));
    let handle = consumer.handle();
    let running = tokio::spawn(consumer.run(typed(feed.clone())));
    while handle.status().handled < 4 {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    let expected = BTreeMap::from([("3".to_owned(), "more coffee".to_owned())]);
    assert_eq!(*feed.0.lock().unwrap(), expected);
    handle.stop().await;
    running.await.unwrap().unwrap();
    run.abort();
}

const POST: &str = "app.bsky.feed.post";
