//! The parameters of the query string, one row for each rule.

use jetwash_serve::ServeOptions;
use tokio_tungstenite::tungstenite::Message;

use crate::client::{Client, Refusal};
use crate::log::{Entry, World, lines};

#[expect(clippy::too_many_lines, reason = "a table of cases")]
#[tokio::test]
async fn each_mistake_is_refused_in_the_words_of_jetstream() {
    let options = ServeOptions::default().max_dids(3);
    let world = World::start(options, None).await;
    let long = format!("app.{}", "a.".repeat(160));
    let dids = |count: usize| {
        let did = |n| format!("wantedDids=did:web:{n}.example&");
        (0..count).map(did).collect::<String>()
    };
    let collections = |count: usize, value: fn(usize) -> String| {
        let pairs = (0..count).map(|n| format!("wantedCollections={}&", value(n)));
        pairs.collect::<String>()
    };
    let bad_collection = "invalid subscriber options: invalid collection: ";
    let bad_did = "invalid subscriber options";
    let too_many = "invalid subscriber options: too many wanted collections";
    let rows: &[(&str, String)] = &[
        // Cursors.
        ("cursor=soon", "invalid cursor: soon".into()),
        ("cursor=1.5", "invalid cursor: 1.5".into()),
        ("cursor=0x10", "invalid cursor: 0x10".into()),
        ("cursor=1_000", "invalid cursor: 1_000".into()),
        ("cursor=%201", "invalid cursor:  1".into()),
        // A plus sign is a space in a query string.
        ("cursor=+1", "invalid cursor:  1".into()),
        (
            "cursor=9223372036854775808",
            "invalid cursor: 9223372036854775808".into(),
        ),
        (
            "cursor=-9223372036854775809",
            "invalid cursor: -9223372036854775809".into(),
        ),
        ("cursor=x&cursor=1", "invalid cursor: x".into()),
        // The cursor is looked at before everything else.
        ("wantedCollections=*&cursor=x", "invalid cursor: x".into()),
        // Collections.
        ("wantedCollections=*", format!("{bad_collection}*")),
        ("wantedCollections=.*", format!("{bad_collection}.*")),
        (
            "wantedCollections=app..*",
            format!("{bad_collection}app..*"),
        ),
        ("wantedCollections=a_b.*", format!("{bad_collection}a_b.*")),
        ("wantedCollections=", bad_collection.into()),
        ("wantedCollections", bad_collection.into()),
        ("wantedCollections=app", format!("{bad_collection}app")),
        (
            "wantedCollections=app.bsky.graph.fo*",
            format!("{bad_collection}app.bsky.graph.fo*"),
        ),
        (
            "wantedCollections=app.bsky.feed.post,app.bsky.feed.like",
            format!("{bad_collection}app.bsky.feed.post,app.bsky.feed.like"),
        ),
        (
            "wantedCollections=app.bsky.feed.post&wantedCollections=no%20such",
            format!("{bad_collection}no such"),
        ),
        (
            &format!("wantedCollections={long}post"),
            format!("{bad_collection}{long}post"),
        ),
        (
            &collections(101, |n| format!("app.a{n}.b")),
            too_many.into(),
        ),
        (
            &collections(101, |n| format!("app.a{n}.*")),
            too_many.into(),
        ),
        // Equal prefixes count each time.
        (&collections(101, |_| "app.a.*".into()), too_many.into()),
        // Accounts.
        ("wantedDids=", bad_did.into()),
        ("wantedDids=alice.example", bad_did.into()),
        ("wantedDids=did:plc:", bad_did.into()),
        ("wantedDids=did:PLC:abc", bad_did.into()),
        (
            "wantedDids=did:web:a.example,did:web:b.example",
            bad_did.into(),
        ),
        (
            &dids(4),
            "invalid subscriber options: too many wanted DIDs".into(),
        ),
        // Parameters of our own.
        (
            "format=v2",
            "invalid format: v2 (it is v1, binary or v0, and v0 is not served compressed)".into(),
        ),
        (
            "format=v0&compress=true",
            "invalid format: v0 (it is v1, binary or v0, and v0 is not served compressed)".into(),
        ),
        (
            "progress=0",
            "invalid progress: 0 (it is a number of seconds from 1 to 3600)".into(),
        ),
        (
            "progress=soon",
            "invalid progress: soon (it is a number of seconds from 1 to 3600)".into(),
        ),
    ];
    for (query, body) in rows {
        let Err(refusal) = Client::try_connect(world.address, query, &[]).await else {
            panic!("accepted: {query}");
        };
        let expected = Refusal {
            status: 400,
            content_type: "text/plain; charset=UTF-8".to_owned(),
            body: body.clone(),
        };
        assert_eq!(refusal, expected, "{query}");
    }
}

#[tokio::test]
async fn what_jetstream_takes_is_taken() {
    let world = World::start(ServeOptions::default().max_dids(3), None).await;
    let many = "wantedCollections=app.a.b&".repeat(500);
    let hundred: String = (0..100)
        .map(|n| format!("wantedCollections=app.a{n}.*&"))
        .collect();
    let same_did = "wantedDids=did:web:a.example&".repeat(20);
    for query in [
        // Equal NSIDs and DIDs count once.
        &many,
        &hundred,
        &same_did,
        "maxMessageSizeBytes=&compress=&requireHello=&cursor=",
        "maxMessageSizeBytes=lots&compress=yes&requireHello=1",
        "maxMessageSizeBytes=99999999999999999999",
        "cursor=9223372036854775807",
        "cursor=-9223372036854775808",
        "cursor=%2B1",
        "cursor=1&cursor=x",
        // Pieces that are not well formed are left out, as Go does it.
        "cursor=%zz&&=&;wantedDids=x;&wantedDids=%",
        "unknown=1&wantedcollections=*&WANTEDDIDS=x&Cursor=x",
        "format=v1&progress=&caughtUp=no",
    ] {
        drop(world.subscribe(query).await);
    }
}

/// Who passes a filter, by hand.
type Rule = fn(&World, &Entry) -> bool;

#[expect(clippy::too_many_lines, reason = "a table of cases")]
#[tokio::test]
async fn each_filter_lets_pass_what_it_says() {
    let world = World::with(1500).await;
    let log = world.log();
    let two = format!("wantedDids={}&wantedDids={}", world.dids[2], world.dids[3]);
    let both = format!("{two}&wantedCollections=app.bsky.feed.like");
    let encoded = two.replace(':', "%3A");
    let rows: &[(&str, Rule)] = &[
        ("", |_, _| true),
        ("wantedCollections=app.bsky.feed.post", |_, entry| {
            !entry.is_commit() || entry.collection == "app.bsky.feed.post"
        }),
        ("wantedCollections=app.bsky.feed%2Epost", |_, entry| {
            !entry.is_commit() || entry.collection == "app.bsky.feed.post"
        }),
        ("wantedCollections=app.bsky.graph.*", |_, entry| {
            !entry.is_commit() || entry.collection.starts_with("app.bsky.graph.")
        }),
        ("wantedCollections=app.*", |_, entry| {
            !entry.is_commit() || entry.collection.starts_with("app.")
        }),
        // The dot is part of the rule: app.bsky.graph.listitem is not in it.
        ("wantedCollections=app.bsky.graph.list.*", |_, entry| {
            !entry.is_commit()
        }),
        // Not normalised.
        ("wantedCollections=app.bsky.feed.Post", |_, entry| {
            !entry.is_commit()
        }),
        (
            "wantedCollections=app.bsky.feed.like&wantedCollections=app.bsky.graph.*",
            |_, entry| {
                !entry.is_commit()
                    || entry.collection == "app.bsky.feed.like"
                    || entry.collection.starts_with("app.bsky.graph.")
            },
        ),
        // Accounts and identities do not pass this one.
        (&two, |world, entry| world.dids[2..4].contains(&entry.did)),
        (&encoded, |world, entry| {
            world.dids[2..4].contains(&entry.did)
        }),
        (&both, |world, entry| {
            world.dids[2..4].contains(&entry.did)
                && (!entry.is_commit() || entry.collection == "app.bsky.feed.like")
        }),
        ("wantedDids=did:web:nobody.example", |_, _| false),
        ("maxMessageSizeBytes=400", |_, entry| {
            entry.json.len() <= 400
        }),
        (
            "maxMessageSizeBytes=400&maxMessageSizeBytes=1",
            |_, entry| entry.json.len() <= 400,
        ),
        ("maxMessageSizeBytes=%2B400", |_, entry| {
            entry.json.len() <= 400
        }),
        ("maxMessageSizeBytes=0", |_, _| true),
        ("maxMessageSizeBytes=", |_, _| true),
        ("maxMessageSizeBytes=many", |_, _| true),
        ("maxMessageSizeBytes=-1", |_, _| true),
        // What is left of it in 32 bits.
        ("maxMessageSizeBytes=4294967296", |_, _| true),
        ("maxMessageSizeBytes=4294967696", |_, entry| {
            entry.json.len() <= 400
        }),
        ("compress=1", |_, _| true),
        ("compress=TRUE", |_, _| true),
        ("requireHello=True", |_, _| true),
    ];
    for (query, rule) in rows {
        let expected = lines(log.iter().filter(|entry| rule(&world, entry)));
        let query = format!("cursor=0&caughtUp=true&{query}");
        let found = world.connect(&query).await.playback().await;
        assert_eq!(found, expected, "{query}");
    }
    let kinds = log.iter().filter(|entry| !entry.is_commit()).count();
    assert!(kinds > 20, "too few accounts and identities: {kinds}");
    let exact = log[0].json.len();
    for (limit, is_sent) in [(exact, true), (exact - 1, false)] {
        let query = format!("cursor=0&caughtUp=true&maxMessageSizeBytes={limit}");
        let found = world.connect(&query).await.playback().await;
        assert_eq!(found.contains(&log[0].json), is_sent, "{limit}");
    }
}

#[tokio::test]
async fn compression_is_asked_for_by_parameter_or_header() {
    let world = World::with(10).await;
    for (query, headers, is_binary) in [
        ("cursor=0", &[][..], false),
        ("cursor=0&compress=true", &[], true),
        ("cursor=0&compress=true&compress=false", &[], true),
        ("cursor=0&compress=false&compress=true", &[], false),
        ("cursor=0&compress=True", &[], false),
        ("cursor=0", &[("Socket-Encoding", "zstd")], true),
        ("cursor=0", &[("Socket-Encoding", "gzip, zstd;q=1")], true),
        (
            "cursor=0&compress=false",
            &[("Socket-Encoding", "zstd")],
            true,
        ),
        ("cursor=0", &[("Socket-Encoding", "ZSTD")], false),
        ("cursor=0", &[("Socket-Encoding", "gzip")], false),
    ] {
        let mut client = Client::connect(world.address, query, headers).await;
        let message = client.message().await;
        let found = matches!(message, Message::Binary(_));
        assert_eq!(found, is_binary, "{query} {headers:?}");
    }
}
