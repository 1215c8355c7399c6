//! Messages from the subscriber, one row for each rule.

use jetwash_serve::ServeOptions;
use tokio_tungstenite::tungstenite::Message;

use crate::log::{Entry, World, lines};

/// Who passes, by hand.
type Rule = fn(&World, &Entry) -> bool;

#[tokio::test]
async fn each_valid_update_sets_the_filter() {
    let world = World::with(1000).await;
    let log = world.log();
    let did = &world.dids[4];
    let own = format!(r#"{{"wantedDids":["{did}"]}}"#);
    let posts = r#"{"wantedCollections":["app.bsky.feed.post"]}"#;
    let rows: Vec<(String, Rule)> = vec![
        (update("{}"), |_, _| true),
        (update("null"), |_, _| true),
        (update(r#"{"wantedCollections":null,"wantedDids":[]}"#), |_, _| true),
        (update(posts), |_, entry| {
            !entry.is_commit() || entry.collection == "app.bsky.feed.post"
        }),
        (update(r#"{"wantedCollections":["app.bsky.graph.*"]}"#), |_, entry| {
            !entry.is_commit() || entry.collection.starts_with("app.bsky.graph.")
        }),
        (update(&own), |world, entry| entry.did == world.dids[4]),
        (update(r#"{"maxMessageSizeBytes":400}"#), |_, entry| entry.json.len() <= 400),
        (update(r#"{"maxMessageSizeBytes":-1}"#), |_, _| true),
        (update(r#"{"maxMessageSizeBytes":0}"#), |_, _| true),
        // Keys in any case, unknown ones, and order.
        (
            r#"{"PAYLOAD":{"WantedCollections":["app.bsky.feed.post"],"cursor":1},"Type":"options_update"}"#
                .to_owned(),
            |_, entry| !entry.is_commit() || entry.collection == "app.bsky.feed.post",
        ),
        (
            format!(r#" {{"extra":[],"type":"options_update","payload":{posts}}}
"#),
            |_, entry| !entry.is_commit() || entry.collection == "app.bsky.feed.post",
        ),
    ];
    for (text, rule) in rows {
        let expected = lines(log.iter().filter(|entry| rule(&world, entry)));
        let query = "cursor=0&caughtUp=true&requireHello=true&wantedDids=did:web:nobody.example";
        let mut client = world.connect(query).await;
        client.send(Message::text(text.clone())).await;
        assert_eq!(client.playback().await, expected, "{text}");
    }
}

#[expect(clippy::too_many_lines, reason = "a table of cases")]
#[tokio::test]
async fn each_bad_message_closes_with_1000_and_the_words_of_jetstream() {
    let world = World::with(5).await;
    let message = "failed to unmarshal subscriber sourced message: ";
    let payload = "failed to unmarshal subscriber options update: ";
    let options = "failed to parse subscriber options: ";
    let many = |count: usize, value: &dyn Fn(usize) -> String| {
        let values: Vec<_> = (0..count).map(|n| format!(r#""{}""#, value(n))).collect();
        values.join(",")
    };
    let prefixes = many(101, &|_| "app.a.*".to_owned());
    let dids = many(10_001, &|n| format!("did:web:a{n}.example"));
    let rows: Vec<(String, String)> = vec![
        ("hello".into(), message.into()),
        (String::new(), message.into()),
        ("{".into(), message.into()),
        ("[]".into(), message.into()),
        (r#""options_update""#.into(), message.into()),
        ("1".into(), message.into()),
        (r#"{"type":1}"#.into(), message.into()),
        (
            r#"{"type":"options_update","payload":{}} x"#.into(),
            message.into(),
        ),
        (r#"{"type":"options_update"}"#.into(), payload.into()),
        (update("[]"), payload.into()),
        (update("1"), payload.into()),
        (update(r#""""#), payload.into()),
        (
            update(r#"{"wantedCollections":"app.bsky.feed.post"}"#),
            payload.into(),
        ),
        (update(r#"{"wantedCollections":[1]}"#), payload.into()),
        (update(r#"{"wantedDids":{}}"#), payload.into()),
        (update(r#"{"maxMessageSizeBytes":"1"}"#), payload.into()),
        (update(r#"{"maxMessageSizeBytes":1.5}"#), payload.into()),
        (
            update(r#"{"maxMessageSizeBytes":99999999999999999999}"#),
            payload.into(),
        ),
        (
            update(r#"{"wantedCollections":["*"]}"#),
            format!("{options}invalid collection: *"),
        ),
        (
            update(r#"{"wantedCollections":[".*"]}"#),
            format!("{options}invalid collection: .*"),
        ),
        (
            update(r#"{"wantedCollections":[""]}"#),
            format!("{options}invalid collection: "),
        ),
        // In Go, null leaves a string empty.
        (
            update(r#"{"wantedCollections":[null]}"#),
            format!("{options}invalid collection: "),
        ),
        (
            update(r#"{"wantedDids":["me"]}"#),
            format!("{options}invalid did"),
        ),
        (
            update(&format!(r#"{{"wantedCollections":[{prefixes}]}}"#)),
            format!("{options}too many wanted collections"),
        ),
        (
            update(&format!(r#"{{"wantedDids":[{dids}]}}"#)),
            format!("{options}too many wanted DIDs"),
        ),
    ];
    for hello in ["", "&requireHello=true"] {
        for (text, expected) in &rows {
            let mut client = world.connect(&format!("cursor=0{hello}")).await;
            client.send(Message::text(text.clone())).await;
            let (code, reason) = client.closed().await;
            let shown = &text[..text.len().min(80)];
            assert_eq!(code, 1000, "{shown}: {reason}");
            let is_whole = !expected.ends_with(": ");
            assert!(reason.starts_with(expected), "{shown}: {reason}");
            assert!(!is_whole || reason == *expected, "{shown}: {reason}");
            // Words of ours follow where Jetstream has those of its JSON library.
            let says_more = expected.ends_with("collection: ") || reason.len() > expected.len();
            assert!(is_whole || says_more, "{shown}: {reason}");
        }
    }
}

#[tokio::test]
async fn a_close_reason_that_is_too_long_is_cut_on_a_character() {
    let world = World::with(0).await;
    let mut client = world.connect("").await;
    let long = "æ".repeat(200);
    client
        .update(&format!(r#"{{"wantedCollections":["{long}"]}}"#))
        .await;
    let (code, reason) = client.closed().await;
    let start = "failed to parse subscriber options: invalid collection: ";
    assert_eq!(code, 1000);
    assert_eq!(
        reason,
        format!("{start}{}...", "æ".repeat((120 - start.len()) / 2))
    );
}

#[tokio::test]
async fn what_means_nothing_is_ignored() {
    let world = World::with(0).await;
    let mut client = world.subscribe("").await;
    for message in [
        Message::text(r#"{"type":"hello","payload":1}"#),
        Message::text(r#"{"type":"","payload":{}}"#),
        Message::text(r#"{"type":null}"#),
        Message::text(r#"{"type":"OPTIONS_UPDATE","payload":{"wantedCollections":["*"]}}"#),
        Message::text("{}"),
        Message::text("null"),
        Message::binary(update(r#"{"wantedCollections":["*"]}"#)),
        Message::binary(Vec::new()),
        Message::Pong("unasked".into()),
    ] {
        client.send(message).await;
    }
    client.settle().await;
    world.push(10).await;
    let expected = lines(&world.log());
    assert_eq!(client.texts(expected.len()).await, expected);
}

#[tokio::test]
async fn an_update_replaces_both_filters_and_the_limit_wholesale() {
    let world = World::with(0).await;
    let own = format!("wantedDids={}&maxMessageSizeBytes=300", world.dids[0]);
    let mut client = world.subscribe(&own).await;
    let steps: [(&str, Rule); 4] = [
        (
            r#"{"wantedCollections":["app.bsky.feed.like"]}"#,
            |_, entry| !entry.is_commit() || entry.collection == "app.bsky.feed.like",
        ),
        (r#"{"wantedDids":["did:web:nobody.example"]}"#, |_, _| false),
        (r#"{"maxMessageSizeBytes":350}"#, |_, entry| {
            entry.json.len() <= 350
        }),
        ("{}", |_, _| true),
    ];
    for (payload, rule) in steps {
        client.update(payload).await;
        client.settle().await;
        let before = world.log().len();
        world.push(100).await;
        let log = world.log();
        let expected = lines(log[before..].iter().filter(|entry| rule(&world, entry)));
        assert_eq!(client.texts(expected.len()).await, expected, "{payload}");
        client.settle().await;
        assert_eq!(client.take_early(), [], "{payload}");
    }
}

#[tokio::test]
async fn nothing_is_sent_before_the_first_valid_update() {
    let world = World::with(20).await;
    let mut live = world.subscribe("requireHello=true").await;
    let mut played = world.subscribe("requireHello=true&cursor=0").await;
    world.push(20).await;
    for client in [&mut live, &mut played] {
        client.send(Message::text(r#"{"type":"unknown"}"#)).await;
        client.send(Message::binary(update("{}"))).await;
        client.settle().await;
        assert_eq!(client.take_early(), []);
        client.update("{}").await;
    }
    // The live stream starts at the tip of this moment: what came meanwhile is not sent.
    live.settle().await;
    let before = world.log().len();
    world.push(20).await;
    let log = world.log();
    assert_eq!(live.texts(log.len() - before).await, lines(&log[before..]));
    assert_eq!(played.texts(log.len()).await, lines(&log));
}

#[tokio::test]
async fn ten_thousand_accounts_are_taken_and_more_if_so_configured() {
    let world = World::with(300).await;
    let dids = |count: usize| {
        let mut dids: Vec<_> = (1..count)
            .map(|n| format!(r#""did:web:a{n}.example""#))
            .collect();
        dids.push(format!(r#""{}""#, world.dids[1]));
        format!(r#"{{"wantedDids":[{}]}}"#, dids.join(","))
    };
    let mut client = world
        .connect("requireHello=true&cursor=0&caughtUp=true")
        .await;
    client.update(&dids(10_000)).await;
    let log = world.log();
    let expected = lines(log.iter().filter(|entry| entry.did == world.dids[1]));
    assert!(expected.len() > 5);
    assert_eq!(client.playback().await, expected);
    client.update(&dids(10_001)).await;
    let too_many = "failed to parse subscriber options: too many wanted DIDs";
    assert_eq!(client.closed().await, (1000, too_many.to_owned()));

    let raised = World::start(ServeOptions::default().max_dids(200_000), None).await;
    let mut client = raised.subscribe("").await;
    client.update(&dids(100_000)).await;
    client.settle().await;
    client.update("{}").await;
    client.settle().await;
    raised.push(5).await;
    let expected = lines(&raised.log());
    assert_eq!(client.texts(expected.len()).await, expected);
}

fn update(payload: &str) -> String {
    format!(r#"{{"type":"options_update","payload":{payload}}}"#)
}
