//! The record that a deletion deleted, or an update replaced.

use std::collections::HashMap;

use jetwash::{Filter, Jetstream, NetworkConfig, Operation, StartFrom};

use crate::take;

#[tokio::test]
async fn what_was_there_before_is_told_as_far_as_it_came_in() {
    let network = NetworkConfig {
        accounts: 10,
        records: 100,
        ..NetworkConfig::default()
    };
    let builder = Jetstream::builder().simulator(network, None);
    let (jetstream, ingest) = builder.record_cache(64 << 20).build().unwrap();
    let run = tokio::spawn(ingest.run(std::future::pending()));
    let events = take(&jetstream, StartFrom::Oldest, Filter::new(), 5000).await;
    let mut records: HashMap<String, String> = HashMap::new();
    let (mut deleted, mut updated) = (0, 0);
    for event in &events {
        let Some(uri) = event.uri() else {
            assert!(jetstream.previous(event).is_none());
            continue;
        };
        let before = match event.record_json() {
            Some(record) => records.insert(uri, record.to_owned()),
            None => records.remove(&uri),
        };
        deleted += usize::from(before.is_some() && event.operation() == Some(Operation::Delete));
        updated += usize::from(before.is_some() && event.operation() == Some(Operation::Update));
        assert_eq!(jetstream.previous(event).as_deref(), before.as_deref());
    }
    assert!(deleted > 10 && updated > 10, "{deleted} and {updated}");
    run.abort();
}

#[tokio::test]
async fn without_a_cache_nothing_is_known() {
    let (jetstream, ingest) = Jetstream::builder()
        .simulator(NetworkConfig::default(), None)
        .build()
        .unwrap();
    let run = tokio::spawn(ingest.run(std::future::pending()));
    let events = take(&jetstream, StartFrom::Oldest, Filter::new(), 500).await;
    assert!(
        events
            .iter()
            .all(|event| jetstream.previous(event).is_none())
    );
    run.abort();
}
