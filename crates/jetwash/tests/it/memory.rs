//! The memory of a log without a folder.

use std::time::Duration;

use jetwash::{Jetstream, Seq};
use jetwash_sim::{ManualNetwork, SimChange, did};
use serde_json::json;

use crate::run::start;

/// Pushes `count` events of 900 KB, which hardly compress.
async fn push(jetstream: &Jetstream, count: u64) {
    let pusher = jetstream.pusher("a");
    let mut network = ManualNetwork::new();
    let mut state = 1u64;
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for number in 1..=count {
        let mut letter = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005);
            state = state.wrapping_add(1);
            char::from(letters[(state >> 58) as usize])
        };
        let text: String = (0..900_000).map(|_| letter()).collect();
        let key = format!("key{number}");
        let change = SimChange::create(did(0), "app.bsky.feed.post", &key, json!({"text": text}));
        let frame = network.apply(&change).unwrap().bytes;
        pusher.push(frame).await.unwrap();
    }
    let mut tip = jetstream.store().tip();
    tip.wait_for(|&next| next == Seq::new(count + 1))
        .await
        .unwrap();
}

/// The bytes that a bucket and a batch may add.
const SLACK: u64 = 12 << 20;

#[tokio::test]
async fn a_log_in_memory_is_bounded_by_its_budget() {
    let builder = Jetstream::builder().memory_budget(8 << 20);
    let (jetstream, stop, task) = start(builder.retain_for(Duration::from_secs(1_000_000)));
    push(&jetstream, 40).await;
    let bounds = jetstream.bounds();
    assert!(bounds.bytes <= (6 << 20) + SLACK, "{bounds:?}");
    assert!(bounds.oldest_seq > Seq::FIRST, "{bounds:?}");
    drop(stop);
    task.await.unwrap();
}

#[tokio::test]
async fn a_log_in_memory_that_nobody_bounded_takes_128_mib_at_most() {
    let (jetstream, stop, task) = start(Jetstream::builder());
    push(&jetstream, 250).await;
    let bounds = jetstream.bounds();
    assert!(bounds.bytes <= (128 << 20) + SLACK, "{bounds:?}");
    assert!(bounds.bytes > 64 << 20, "{bounds:?}");
    assert!(bounds.oldest_seq > Seq::FIRST, "{bounds:?}");
    drop(stop);
    task.await.unwrap();
}
