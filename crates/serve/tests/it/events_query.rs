//! The parameters of version 2, one row for each rule.

use jetwash_serve::ServeOptions;
use serde_json::Value;

use crate::client::{Client, http};
use crate::events::{ROUTE, connect, message, messages, playback, refusal, try_connect};
use crate::frames::trained;
use crate::log::{Entry, World};

#[expect(clippy::too_many_lines, reason = "a table of cases")]
#[tokio::test]
async fn each_violation_is_refused_before_the_upgrade() {
    let dictionary = trained().await;
    let id = dictionary.id();
    let world = World::start(ServeOptions::default(), Some(dictionary)).await;
    let many = |count: usize, value: fn(usize) -> String| -> String {
        (0..count).map(|n| value(n) + "&").collect()
    };
    let collection = |n| format!("collections=app.a{n}.b");
    let same_collection = |_| "collections=app.a.b".to_owned();
    let kind = |_| "kinds=commit".to_owned();
    let did = |_| "dids=did:web:a.b".to_owned();
    let long = format!("collections=app.{}post", "a.".repeat(160));
    let unknown = format!("zstdDictionary={}", id + 1);
    let in_use = format!("the one in use is {id}");
    let other = "UnknownZstdDictionary";
    let rows: &[(&str, &str, &str)] = &[
        // cursor: a whole number of 63 bits.
        ("cursor=-1", "InvalidRequest", "\"-1\""),
        ("cursor=soon", "InvalidRequest", "\"soon\""),
        ("cursor=1.5", "InvalidRequest", "\"1.5\""),
        ("cursor=9223372036854775808", "InvalidRequest", "cursor"),
        ("cursor=-9223372036854775809", "InvalidRequest", "cursor"),
        // kinds: up to four of the four.
        ("kinds=commits", "InvalidRequest", "\"commits\""),
        ("kinds=Commit", "InvalidRequest", "\"Commit\""),
        ("kinds=info", "InvalidRequest", "\"info\""),
        ("kinds=", "InvalidRequest", "\"\""),
        (
            "kinds=commit,account",
            "InvalidRequest",
            "\"commit,account\"",
        ),
        ("kinds=commit&kinds=x", "InvalidRequest", "\"x\""),
        (
            &many(5, kind),
            "InvalidRequest",
            "too many kinds: 5, at most 4",
        ),
        // dids, counted as they are given.
        ("dids=", "InvalidRequest", "DID"),
        ("dids=alice.example", "InvalidRequest", "alice.example"),
        (
            "dids=did:web:a.b&dids=did:plc:",
            "InvalidRequest",
            "did:plc:",
        ),
        // collections, counted as they are given.
        ("collections=", "InvalidRequest", "\"\""),
        ("collections=*", "InvalidRequest", "\"*\""),
        ("collections=.*", "InvalidRequest", "\".*\""),
        ("collections=app", "InvalidRequest", "\"app\""),
        ("collections=app.*", "InvalidRequest", "\"app.*\""),
        ("collections=app..a.*", "InvalidRequest", "\"app..a.*\""),
        ("collections=a_b.c.*", "InvalidRequest", "\"a_b.c.*\""),
        ("collections=app.a.fo*", "InvalidRequest", "\"app.a.fo*\""),
        (
            "collections=app.a.b,app.a.c",
            "InvalidRequest",
            "app.a.b,app.a.c",
        ),
        (&long, "InvalidRequest", "collection"),
        (
            &many(101, collection),
            "InvalidRequest",
            "too many collections: 101, at most 100",
        ),
        (
            &many(101, same_collection),
            "InvalidRequest",
            "too many collections: 101",
        ),
        // A filter that could never apply.
        (
            "collections=app.a.b&kinds=account",
            "InvalidRequest",
            "commits",
        ),
        (
            "collections=app.a.b&kinds=sync&kinds=identity",
            "InvalidRequest",
            "commits",
        ),
        (
            "collections=app.a.b&kinds=sync",
            "InvalidRequest",
            "commits",
        ),
        // maxMessageSizeBytes: once, 32 bits.
        ("maxMessageSizeBytes=", "InvalidRequest", "\"\""),
        ("maxMessageSizeBytes=-1", "InvalidRequest", "\"-1\""),
        ("maxMessageSizeBytes=%2B1", "InvalidRequest", "\"+1\""),
        ("maxMessageSizeBytes=many", "InvalidRequest", "\"many\""),
        (
            "maxMessageSizeBytes=4294967296",
            "InvalidRequest",
            "\"4294967296\"",
        ),
        (
            "maxMessageSizeBytes=1&maxMessageSizeBytes=1",
            "InvalidRequest",
            "more than once",
        ),
        // zstdDictionary: the number of the one in use.
        ("zstdDictionary=0", "InvalidRequest", "\"0\""),
        ("zstdDictionary=-1", "InvalidRequest", "\"-1\""),
        ("zstdDictionary=new", "InvalidRequest", "\"new\""),
        (
            "zstdDictionary=4294967296",
            "InvalidRequest",
            "\"4294967296\"",
        ),
        (&unknown, other, &in_use),
        // What was meant for version 1.
        ("wantedDids=did:web:a.b", "InvalidRequest", "dids"),
        ("wantedCollections=", "InvalidRequest", "collections"),
        ("requireHello=false", "InvalidRequest", "requireHello"),
        ("compress=true", "InvalidRequest", "zstdDictionary"),
        // A query string that is not one.
        ("cursor=%zz", "InvalidRequest", "malformed"),
        ("a;b", "InvalidRequest", "malformed"),
        // Ours.
        ("progress=0", "InvalidRequest", "invalid progress: 0"),
    ];
    for (query, error, text) in rows {
        let (status, name, message) = refusal(&world, query).await;
        assert_eq!((status, name.as_str()), (400, *error), "{query}: {message}");
        assert!(message.contains(text), "{query}: {message}");
    }
    // More than fits into one query string of a few kilobytes is refused before it is read.
    let narrow = World::start(ServeOptions::default().max_dids(3), None).await;
    let (_, _, message) = refusal(&narrow, &many(4, did)).await;
    assert!(message.contains("too many dids: 4, at most 3"), "{message}");
    assert_eq!(world.server.subscribers(), 0);
}

#[tokio::test]
async fn a_header_of_version_1_and_a_server_without_a_dictionary_are_refused() {
    let world = World::with(0).await;
    let zstd = [("Socket-Encoding", "zstd")];
    let Err(refused) = Client::try_connect_to(world.address, ROUTE, "", &zstd).await else {
        panic!("accepted");
    };
    assert_eq!(refused.status, 400);
    assert!(refused.body.contains("Socket-Encoding"), "{}", refused.body);
    let (status, name, message) = refusal(&world, "zstdDictionary=1").await;
    assert_eq!((status, name.as_str()), (400, "UnknownZstdDictionary"));
    assert!(message.contains("without a dictionary"), "{message}");
}

#[tokio::test]
async fn requests_that_cannot_be_served_get_the_errors_of_xrpc() {
    let request = |query: &str| {
        format!("GET {ROUTE}?{query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    };
    let world = World::start(ServeOptions::default().max_connections_per_address(1), None).await;
    let (head, body) = http(world.address, &request("")).await;
    assert!(head.starts_with("http/1.1 400 "), "{head}");
    assert!(
        head.contains("access-control-allow-origin: *\r\n"),
        "{head}"
    );
    assert!(body.contains(r#""error":"InvalidRequest""#), "{body}");
    // The query is looked at before the handshake.
    let (_, body) = http(world.address, &request("kinds=x")).await;
    assert!(body.contains("unknown kind"), "{body}");
    let first = connect(&world, "").await;
    let (status, name, _) = refusal(&world, "").await;
    assert_eq!((status, name.as_str()), (429, "RateLimitExceeded"));
    drop(first);
    world.server.close(std::time::Duration::ZERO).await;
    let (status, name, _) = refusal(&world, "").await;
    assert_eq!((status, name.as_str()), (503, "ServiceUnavailable"));
}

#[tokio::test]
async fn what_version_2_takes_is_taken() {
    let world = World::with(10).await;
    let hundred: String = (0..100)
        .map(|n| format!("collections=app.a{n}.*&"))
        .collect();
    for query in [
        "",
        "cursor=",
        "cursor=0",
        "cursor=9223372036854775807",
        "zstdDictionary=",
        "maxMessageSizeBytes=0",
        "maxMessageSizeBytes=4294967295",
        "kinds=commit&kinds=identity&kinds=account&kinds=sync",
        "kinds=commit&kinds=commit",
        "kinds=sync",
        "collections=app.a.b&kinds=commit",
        "dids=did:web:a.example&dids=did:web:a.example",
        "compress=false&compress=true",
        "unknown=1&Kinds=x&wanteddids=x",
        &hundred,
    ] {
        drop(try_connect(&world, query).await.expect(query));
    }
}

/// Who passes a filter, by hand.
type Rule = fn(&World, &Entry, &Value) -> bool;

#[tokio::test]
async fn each_axis_lets_pass_what_it_says_and_all_have_to() {
    let world = World::with(1500).await;
    let log = world.events();
    let two = format!("dids={}&dids={}", world.dids[2], world.dids[3]);
    let syncs_of_two = format!("{two}&kinds=sync");
    let all_three = format!("{two}&kinds=commit&collections=app.bsky.graph.*");
    let rows: &[(&str, Rule)] = &[
        ("", |_, _, _| true),
        ("kinds=commit", |_, entry, _| entry.is_commit()),
        ("kinds=account", |_, _, message| {
            !message["payload"]["account"].is_null()
        }),
        ("kinds=identity&kinds=commit", |_, entry, message| {
            entry.is_commit() || !message["payload"]["identity"].is_null()
        }),
        ("kinds=sync", |_, entry, _| entry.is_sync()),
        ("kinds=sync&kinds=commit", |_, entry, _| {
            entry.is_sync() || entry.is_commit()
        }),
        (
            "kinds=sync&kinds=commit&collections=app.bsky.feed.post",
            |_, entry, _| entry.is_sync() || entry.collection == "app.bsky.feed.post",
        ),
        (
            "kinds=commit&kinds=identity&kinds=account&kinds=sync",
            |_, _, _| true,
        ),
        // A filter on collections says nothing about other kinds.
        ("collections=app.bsky.feed.post", |_, entry, _| {
            !entry.is_commit() || entry.collection == "app.bsky.feed.post"
        }),
        (
            "collections=app.bsky.graph.*&collections=app.bsky.feed.like",
            |_, entry, _| {
                !entry.is_commit()
                    || entry.collection == "app.bsky.feed.like"
                    || entry.collection.starts_with("app.bsky.graph.")
            },
        ),
        (
            "collections=app.bsky.feed.post&kinds=commit",
            |_, entry, _| entry.collection == "app.bsky.feed.post",
        ),
        // One on accounts does.
        (&two, |world, entry, _| {
            world.dids[2..4].contains(&entry.did)
        }),
        (&all_three, |world, entry, _| {
            world.dids[2..4].contains(&entry.did) && entry.collection.starts_with("app.bsky.graph.")
        }),
        (&syncs_of_two, |world, entry, _| {
            world.dids[2..4].contains(&entry.did) && entry.is_sync()
        }),
        ("dids=did:web:nobody.example", |_, _, _| false),
        ("dids=did:web:nobody.example&kinds=sync", |_, _, _| false),
    ];
    for (query, rule) in rows {
        let expected: Vec<_> = messages(&log)
            .into_iter()
            .zip(&log)
            .filter(|(message, entry)| rule(&world, entry, message))
            .map(|(message, _)| message)
            .collect();
        let query = format!("cursor=1&caughtUp=true&{query}");
        let found = playback(&mut connect(&world, &query).await).await;
        assert_eq!(found, expected, "{query}");
    }
    let others = log.iter().filter(|entry| !entry.is_commit()).count();
    assert!(others > 20, "too few accounts and identities: {others}");
    assert!(log.iter().any(Entry::is_sync));
}

/// The limit is on the whole message before it is compressed, live and in playback.
#[tokio::test]
async fn a_message_that_is_too_large_by_a_byte_is_left_out_compressed_or_not() {
    let dictionary = trained().await;
    let compressed = format!("&zstdDictionary={}", dictionary.id());
    let world = World::start(ServeOptions::default(), Some(dictionary.clone())).await;
    world.push(50).await;
    let log = world.events();
    let texts = connect(&world, "cursor=1").await.texts(log.len()).await;
    let mut sizes: Vec<_> = texts.iter().map(String::len).collect();
    sizes.sort_unstable();
    for (limit, mode) in [
        (sizes[25], ""),
        (sizes[25] - 1, ""),
        (sizes[25], &*compressed),
    ] {
        let query = format!("maxMessageSizeBytes={limit}{mode}");
        let mut played = connect(&world, &format!("cursor=1&{query}")).await;
        for (text, entry) in texts.iter().zip(&log) {
            if text.len() > limit {
                continue;
            }
            let found = if mode.is_empty() {
                played.text().await
            } else {
                let mut text = Vec::new();
                let frame = played.binary().await;
                dictionary
                    .decompressor()
                    .decompress(&frame, 1 << 20, &mut text)
                    .unwrap();
                String::from_utf8(text).unwrap()
            };
            let found: Value = serde_json::from_str(&found).unwrap();
            assert_eq!(found, message(entry));
        }
        played.settle().await;
        assert_eq!(played.take_early(), []);
    }
}
