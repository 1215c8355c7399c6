//! Subscriptions by what is in the records.

use futures_util::StreamExt;
use jetwash::{ContentFilter, Event, Filter, Jetstream, Kind, NetworkConfig, StartFrom};
use serde_json::Value;

use crate::take;

#[tokio::test]
async fn content_is_judged_and_what_has_none_is_given() {
    let network = NetworkConfig {
        accounts: 10,
        records: 100,
        ..NetworkConfig::default()
    };
    let jetstream = Jetstream::builder()
        .simulator(network, None)
        .build()
        .unwrap();
    let run = tokio::spawn(jetstream.clone().run(std::future::pending()));
    let all = take(&jetstream, StartFrom::Oldest, Filter::new(), 2000).await;
    let filter = ContentFilter::new().languages(["en"]).replies(false);
    let is_wanted = |event: &Event| {
        let Some(record) = event.record_json() else {
            return true;
        };
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
    let jetstream = Jetstream::builder()
        .simulator(NetworkConfig::default(), None)
        .build()
        .unwrap();
    let run = tokio::spawn(jetstream.clone().run(std::future::pending()));
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
    let jetstream = Jetstream::builder()
        .simulator(NetworkConfig::default(), None)
        .build()
        .unwrap();
    let run = tokio::spawn(jetstream.clone().run(std::future::pending()));
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
