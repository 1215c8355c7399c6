//! Filters, by example and against a naive one.

use jetwash_event::{Filter, FilterError, Kind};
use proptest::prelude::*;

#[test]
fn an_empty_filter_passes_everything() {
    let filter = Filter::new();
    assert!(filter.is_empty());
    assert!(filter.matches(Kind::Commit, "did:web:a.example", Some("a.b.c")));
    assert!(filter.matches(Kind::Account, "did:web:a.example", None));
}

#[test]
fn events_without_a_collection_pass_the_rule_for_collections_only() {
    let filter = Filter::new().collections(["a.b.c"]).unwrap();
    assert!(filter.matches(Kind::Identity, "did:web:a.example", None));
    let filter = filter.dids(["did:web:b.example"]).unwrap();
    assert!(!filter.matches(Kind::Identity, "did:web:a.example", None));
    assert!(filter.matches(Kind::Identity, "did:web:b.example", None));
    assert!(filter.matches(Kind::Sync, "did:web:b.example", None));
    let filter = filter.kinds([Kind::Commit]);
    assert!(!filter.matches(Kind::Identity, "did:web:b.example", None));
    assert!(!filter.matches(Kind::Sync, "did:web:b.example", None));
}

#[test]
fn a_start_matches_whole_segments_only() {
    let filter = Filter::new().collections(["app.bsky.*"]).unwrap();
    assert!(filter.matches_collection("app.bsky.feed.post"));
    assert!(!filter.matches_collection("app.bskyx.feed"));
    assert!(!filter.matches_collection("app.bsky"));
    let filter = Filter::new().collections(["app.*"]).unwrap();
    assert!(filter.matches_collection("app.bsky.feed.post"));
}

/// An NSID has up to 317 bytes, and `.*` is two of them.
#[test]
fn a_start_is_as_long_as_a_collection_may_be() {
    let segment = "a".repeat(63);
    let four = [&*segment; 4].join(".");
    for (last, is_taken) in [(59, true), (60, false)] {
        let pattern = format!("{four}.{}.*", "b".repeat(last));
        assert_eq!(pattern.len(), if is_taken { 317 } else { 318 });
        assert_eq!(Filter::new().collections([&pattern]).is_ok(), is_taken);
    }
}

#[test]
fn a_wrong_value_is_named() {
    for wrong in [
        "",
        "*",
        ".*",
        "app.bsky",
        "app.bsky.feed.fo*",
        "a..*",
        "-a.*",
        "a-.*",
        "a_b.*",
        "1a.*",
        "*.*",
        "app.bsky.feed.post ",
    ] {
        let error = Filter::new()
            .collections(["app.bsky.feed.post", wrong])
            .unwrap_err();
        assert!(error.to_string().contains(&format!("`{wrong}`")), "{error}");
    }
    let error = Filter::new()
        .dids(["did:web:a.example", "alice"])
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "`alice` is not a DID: does not start with `did:`",
    );
    assert!(matches!(error, FilterError::Did { .. }));
}

#[test]
fn a_message_does_not_grow_with_a_wrong_value() {
    let error = Filter::new()
        .collections(["ö".repeat(1 << 20)])
        .unwrap_err();
    assert!(error.to_string().len() < 500);
    let long_start = format!("{}.*", "a.".repeat(200));
    assert!(Filter::new().collections([long_start]).is_err());
}

#[test]
fn repeats_count_once_but_for_starts() {
    let filter = Filter::new()
        .collections(["a.b.c", "a.b.c", "a.b.*", "a.b.*"])
        .unwrap()
        .dids(["did:web:a.example", "did:web:a.example"])
        .unwrap();
    assert_eq!((filter.collection_count(), filter.did_count()), (3, 1));
}

/// A few values, so that filters and events meet.
fn collection() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "ab"]), 3..5)
        .prop_map(|segments| segments.join("."))
}

fn pattern() -> impl Strategy<Value = String> {
    let start = prop::collection::vec(prop::sample::select(vec!["a", "b", "ab"]), 1..4)
        .prop_map(|segments| segments.join(".") + ".*");
    prop_oneof![collection(), start]
}

fn did() -> impl Strategy<Value = String> {
    "did:web:[ab]{1,2}"
}

fn kind() -> impl Strategy<Value = Kind> {
    prop::sample::select(Kind::ALL.to_vec())
}

proptest! {
    #[test]
    fn a_filter_agrees_with_a_naive_one(
        patterns in prop::collection::vec(pattern(), 0..4),
        dids in prop::collection::vec(did(), 0..4),
        kinds in prop::collection::vec(kind(), 0..3),
        events in prop::collection::vec((kind(), did(), prop::option::of(collection())), 1..20),
    ) {
        let filter = Filter::new()
            .collections(&patterns).unwrap()
            .dids(&dids).unwrap()
            .kinds(kinds.clone());
        for (kind, did, collection) in &events {
            let collection = collection.as_deref();
            let by_collection = patterns.is_empty() || collection.is_none_or(|collection| {
                patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
                    Some(start) => collection.starts_with(start),
                    None => pattern == collection,
                })
            });
            let by_did = dids.is_empty() || dids.contains(did);
            let by_kind = kinds.is_empty() || kinds.contains(kind);
            prop_assert_eq!(
                filter.matches(*kind, did, collection),
                by_collection && by_did && by_kind,
            );
            prop_assert_eq!(filter.matches_did(did), by_did);
            if let Some(collection) = collection {
                prop_assert_eq!(filter.matches_collection(collection), by_collection);
            }
        }
    }
}
