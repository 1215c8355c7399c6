//! Requests for events over plain HTTP: those that are refused, and the headers of all.

use serde_json::json;

use crate::answer::{Answer, SSE, all_lines, refusal};
use crate::client::{Client, http};
use crate::events;
use crate::log::{Entry, World, lines};

#[tokio::test]
async fn mistakes_get_the_texts_of_the_websocket_as_json() {
    let world = World::with(10).await;
    for query in [
        "cursor=x",
        "cursor=1e3",
        "wantedCollections=x",
        "wantedCollections=app..bsky.*",
        "wantedDids=x",
        "format=v7",
        "progress=0",
        "verdict=true&format=v0",
        "cursor=seq&format=v0",
    ] {
        let websocket = Client::try_connect(world.address, query, &[]).await;
        let expected = websocket.err().unwrap();
        let (status, body) = refusal(world.address, &format!("/events?{query}"), "").await;
        assert_eq!(status, expected.status, "{query}");
        let expected = json!({"error": "InvalidRequest", "message": expected.body});
        assert_eq!(body, expected, "{query}");
    }
    for query in [
        "cursor=x",
        "kinds=x",
        "dids=x",
        "collections=x",
        "collections=app.bsky.feed.post&kinds=account",
        "wantedDids=did:web:a.b",
        "compress=true",
        "maxMessageSizeBytes=x",
        "%zz=1",
    ] {
        let (status, error, message) = events::refusal(&world, query).await;
        let found = refusal(world.address, &format!("/v2/events?{query}"), SSE).await;
        assert_eq!(
            found,
            (status, json!({"error": error, "message": message})),
            "{query}"
        );
    }
}

/// Requests for what only plain HTTP has, or has not, with a header, and the message that each gets.
const REFUSED: [(&str, &str, &str); 14] = [
    (
        "/events?limit=0",
        "",
        "invalid limit: 0 (it is a number of events from 1 on)",
    ),
    (
        "/events?limit=%2B1",
        "",
        "invalid limit: +1 (it is a number of events from 1 on)",
    ),
    (
        "/events?until=now",
        "",
        "invalid until: now (it is a cursor or live)",
    ),
    (
        "/v2/events?until=-1",
        "",
        "invalid until: -1 (it is a cursor or live)",
    ),
    (
        "/events?requireHello=true",
        "",
        "invalid requireHello: true (clients send no messages over HTTP)",
    ),
    (
        "/events?compress=true",
        "",
        "invalid compress: events are not compressed over HTTP",
    ),
    (
        "/events?compress=stream",
        "",
        "invalid compress: events are not compressed over HTTP",
    ),
    (
        "/v2/events?zstdDictionary=3",
        "",
        "invalid zstdDictionary: events are not compressed over HTTP",
    ),
    (
        "/events?format=binary",
        "",
        "invalid format: binary (events are text over HTTP)",
    ),
    (
        "/events?kinds=x",
        "",
        "unknown kind: \"x\" (it is commit, identity, account or sync)",
    ),
    (
        "/events?kinds=sync",
        "",
        "invalid kinds: sync (version 1 has none, /v2/events does)",
    ),
    (
        "/events?kinds=account&wantedCollections=a.b.c",
        "",
        "invalid kinds: wantedCollections apply to commits, which kinds leaves out",
    ),
    (
        "/events",
        "Last-Event-ID: x\r\n",
        "invalid Last-Event-ID: x (it is an event's id)",
    ),
    (
        "/v2/events",
        "Last-Event-ID: 99999999999999999999\r\n",
        "invalid Last-Event-ID: 99999999999999999999 (it is an event's id)",
    ),
];

#[tokio::test]
async fn what_only_plain_http_has_or_has_not_is_checked_too() {
    let world = World::with(10).await;
    for (target, headers, message) in REFUSED {
        let (status, body) = refusal(world.address, target, headers).await;
        let expected = json!({"error": "InvalidRequest", "message": message});
        assert_eq!((status, body), (400, expected), "{target} {headers}");
    }
}

#[tokio::test]
async fn version_1_can_ask_for_kinds() {
    let world = World::with(100).await;
    let accounts = all_lines(
        &world,
        "/events?cursor=0&until=live&kinds=account&kinds=identity",
    )
    .await;
    let expected = lines(world.log().iter().filter(|entry| !entry.is_commit()));
    assert!(!expected.is_empty());
    assert_eq!(accounts, expected);
}

#[tokio::test]
async fn kinds_leave_the_rest_of_the_filter_as_it_is() {
    let world = World::with(1000).await;
    let did = &world.dids[2];
    let filter = format!("wantedDids={did}&wantedCollections=app.bsky.feed.*");
    let target = format!("/events?cursor=0&until=live&kinds=commit&{filter}");
    let is_wanted =
        |entry: &&Entry| entry.did == *did && entry.collection.starts_with("app.bsky.feed.");
    let log = world.log();
    let expected = lines(log.iter().filter(is_wanted));
    assert!(expected.len() > 20, "{}", expected.len());
    assert_eq!(all_lines(&world, &target).await, expected);
    // Of these, half are too large.
    let mut sizes: Vec<_> = expected.iter().map(String::len).collect();
    sizes.sort_unstable();
    let most = sizes[sizes.len() / 2];
    let small: Vec<_> = expected.into_iter().filter(|it| it.len() <= most).collect();
    let target = format!("{target}&maxMessageSizeBytes={most}");
    assert_eq!(all_lines(&world, &target).await, small);
}

#[tokio::test]
async fn other_methods_are_refused_and_pages_of_any_origin_may_read() {
    let world = World::with(10).await;
    for route in ["/events", "/v2/events"] {
        for method in ["HEAD", "POST", "PUT", "DELETE"] {
            let request =
                format!("{method} {route} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
            let (head, _) = http(world.address, &request).await;
            assert!(head.starts_with("http/1.1 405 "), "{method}: {head}");
            assert!(
                head.contains("\r\nallow: options, get\r\n"),
                "{method}: {head}"
            );
        }
        let request = format!(
            "OPTIONS {route} HTTP/1.1\r\nHost: x\r\nOrigin: https://a.example\r\n\
             Access-Control-Request-Method: GET\r\nAccess-Control-Request-Headers: last-event-id\r\n\
             Connection: close\r\n\r\n"
        );
        let (head, _) = http(world.address, &request).await;
        assert!(head.starts_with("http/1.1 204 "), "{head}");
        assert!(
            head.contains("access-control-allow-origin: *\r\n"),
            "{head}"
        );
        assert!(
            head.contains("access-control-allow-headers: *\r\n"),
            "{head}"
        );
        let headers = format!("{SSE}Origin: https://a.example\r\n");
        let answer = Answer::get(world.address, route, &headers).await;
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("x-accel-buffering"), Some("no"));
        assert_eq!(answer.header("vary"), Some("accept"));
    }
    // The header of browsers, of fetch with more to it, and those of curl and of pages.
    for (accept, kind) in [
        ("text/event-stream", "text/event-stream"),
        (
            "application/json, TEXT/Event-Stream;q=0.9",
            "text/event-stream",
        ),
        ("*/*", "application/x-ndjson"),
        (
            "text/html,application/xhtml+xml,*/*;q=0.8",
            "application/x-ndjson",
        ),
    ] {
        let answer = Answer::get(world.address, "/events", &format!("Accept: {accept}\r\n")).await;
        assert_eq!(answer.header("content-type"), Some(kind), "{accept}");
    }
}
