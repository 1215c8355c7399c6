//! The bot hears what it should, once.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::path::Path;

use bot_filter::Watch;
use jetwash::testing::{ManualNetwork, SimChange, did, events_of};
use jetwash::{Event, Failure, Filter, Jetstream, StartFrom};
use jetwash_sim::ScriptedRelay;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

const POST: &str = "app.bsky.feed.post";

fn post(rkey: &str, record: Value) -> SimChange {
    SimChange::create(did(0), POST, rkey, record)
}

fn mention(account: u64) -> Value {
    json!({
        "$type": POST,
        "text": "look, @someone",
        "facets": [{
            "index": {"byteStart": 6, "byteEnd": 14},
            "features": [
                {"$type": "app.bsky.richtext.facet#tag", "tag": "x"},
                {"$type": "app.bsky.richtext.facet#mention", "did": did(account)},
            ],
        }],
    })
}

#[test]
fn mentions_and_keywords_are_heard_and_nothing_else() {
    let watch = Watch::new(["Remind Me"], [did(7)]);
    let says = |text: &str| json!({"$type": POST, "text": text});
    let events = events_of([
        post("a", says("could you remind me?")),
        post("b", says("Mind me")),
        post("c", mention(7)),
        post("d", mention(8)),
        post("e", json!({"$type": POST, "text": 1})),
        SimChange::update(did(0), POST, "b", says("REMIND ME")),
        SimChange::delete(did(0), POST, "a"),
        SimChange::account(did(7), false, Some("deactivated")),
    ])
    .unwrap();
    let heard: Vec<_> = events
        .iter()
        .filter_map(|event| watch.look(event))
        .collect();
    let because: Vec<_> = heard.iter().map(|hit| hit.because.as_str()).collect();
    assert_eq!(because, ["remind me", did(7).as_str()]);
    assert_eq!(heard[0].uri, format!("at://{}/{POST}/a", did(0)));
}

/// Runs the bot until it has heard `count` posts, and returns their texts.
async fn hear(relay: &str, folder: &Path, count: usize) -> Vec<String> {
    let (jetstream, ingest) = Jetstream::builder()
        .relay(relay)
        .folder(folder)
        .build()
        .unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(ingest.run(async { drop(stopped.await) }));
    let (sender, mut heard) = mpsc::unbounded_channel();
    let watch = Watch::new(["bot"], [did(7)]);
    let consumer = jetstream
        .consumer("bot-filter")
        .filter(Filter::new().collections([POST]).unwrap())
        .start_from(StartFrom::Oldest);
    let handle = consumer.handle();
    let consuming = tokio::spawn(consumer.run(move |event: Event| {
        if let Some(hit) = watch.look(&event) {
            sender.send(hit.text).unwrap();
        }
        async { Ok::<(), Failure>(()) }
    }));
    let mut texts = Vec::new();
    while texts.len() < count {
        texts.push(heard.recv().await.unwrap());
    }
    handle.stop().await;
    consuming.await.unwrap().unwrap();
    drop(stop);
    running.await.unwrap().unwrap();
    texts
}

#[tokio::test]
async fn between_two_runs_nothing_is_missed_and_nothing_heard_twice() {
    let folder = tempfile::tempdir().unwrap();
    let mut relay = ScriptedRelay::start().await.unwrap();
    let url = relay.url();
    let frames: Vec<Vec<u8>> = {
        let mut network = ManualNetwork::new();
        let says = |text: String| json!({"$type": POST, "text": text});
        let changes: Vec<_> = (0..8)
            .map(|n| post(&n.to_string(), says(format!("bot {n}"))))
            .collect();
        let frames = network.apply_all(&changes).unwrap();
        frames.into_iter().map(|frame| frame.bytes).collect()
    };
    let first = tokio::join!(hear(&url, folder.path(), 4), async {
        let mut connection = relay.accept_at(None).await.unwrap();
        connection.send(frames[..4].to_vec()).await.unwrap();
        connection.until_closed().await;
    });
    assert_eq!(first.0, ["bot 0", "bot 1", "bot 2", "bot 3"]);
    let second = tokio::join!(hear(&url, folder.path(), 4), async {
        let mut connection = relay.accept_at(Some(4)).await.unwrap();
        connection.send(frames.clone()).await.unwrap();
        connection.until_closed().await;
    });
    assert_eq!(second.0, ["bot 4", "bot 5", "bot 6", "bot 7"]);
}
