//! Random subscribers of version 2 against the log, filtered by hand.

use jetwash::Dictionary;
use jetwash_serve::ServeOptions;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::client::Client;
use crate::events::{connect, messages};
use crate::frames::trained;
use crate::log::World;

/// The wishes of a subscriber; the accounts by their number.
#[derive(Clone, Debug)]
struct Wanted {
    kinds: Vec<&'static str>,
    collections: Vec<&'static str>,
    dids: Vec<usize>,
    size: usize,
}

impl Wanted {
    fn query(&self, dids: &[String]) -> String {
        let mut query = format!("&maxMessageSizeBytes={}", self.size);
        for kind in &self.kinds {
            query += &format!("&kinds={kind}");
        }
        for collection in &self.collections {
            query += &format!("&collections={collection}");
        }
        for &did in &self.dids {
            query += &format!("&dids={}", dids[did]);
        }
        query
    }

    /// The rules of the lexicon in the plainest way.
    fn lets_pass(&self, dids: &[String], message: &Value) -> bool {
        let payload = &message["payload"];
        let text = |name: &str| payload[name].as_str().unwrap_or_default();
        let (_, kind) = text("$type").split_once('#').unwrap();
        let is_collection = |wanted: &&str| match wanted.strip_suffix('*') {
            Some(start) => text("collection").starts_with(start),
            None => text("collection") == *wanted,
        };
        let collections = &self.collections;
        // The server escapes these, each in six bytes.
        let json = message.to_string();
        let more = |character| match character {
            '<' | '>' | '&' => 5,
            '\u{2028}' | '\u{2029}' => 3,
            _ => 0,
        };
        let size = json.len() + json.chars().map(more).sum::<usize>();
        (self.kinds.is_empty() || self.kinds.contains(&kind))
            && (collections.is_empty() || kind != "commit" || collections.iter().any(is_collection))
            && (self.dids.is_empty() || self.dids.iter().any(|&did| dids[did] == text("did")))
            && (self.size == 0 || size <= self.size)
    }
}

fn wanted() -> impl Strategy<Value = Wanted> {
    let kinds = subsequence(vec!["identity", "account", "sync"], 0..=3);
    let collections = subsequence(
        vec![
            "app.bsky.feed.post",
            "app.bsky.feed.like",
            "app.bsky.graph.*",
            "app.bsky.feed.*",
            "com.whtwnd.blog.entry",
        ],
        0..=3,
    );
    let dids = subsequence((0..10).collect::<Vec<_>>(), 0..=4);
    let size = select(vec![0, 0, 0, 450, 600]);
    let parts = (kinds, any::<bool>(), collections, dids, size);
    parts.prop_map(|(mut kinds, has_commits, collections, dids, size)| {
        // Collections without commits are refused.
        if has_commits || (!kinds.is_empty() && !collections.is_empty()) {
            kinds.push("commit");
        }
        Wanted {
            kinds,
            collections,
            dids,
            size,
        }
    })
}

/// A connection with or without a dictionary.
struct Stream {
    client: Client,
    dictionary: Option<Dictionary>,
}

impl Stream {
    async fn connect(world: &World, is_compressed: bool, query: &str) -> Self {
        let dictionary = world.jetstream.dictionary().filter(|_| is_compressed);
        let id = dictionary.as_ref().map(Dictionary::id);
        let mode = id.map_or_else(String::new, |id| format!("&zstdDictionary={id}"));
        Self {
            client: connect(world, &format!("{query}{mode}")).await,
            dictionary,
        }
    }

    async fn next(&mut self) -> Value {
        let Some(dictionary) = &self.dictionary else {
            return serde_json::from_str(&self.client.text().await).unwrap();
        };
        let (frame, mut text) = (self.client.binary().await, Vec::new());
        let mut decoder = dictionary.decompressor();
        decoder.decompress(&frame, 1 << 20, &mut text).unwrap();
        serde_json::from_slice(&text).unwrap()
    }
}

/// Adds a message, unless it is the one that a cursor gives once more.
fn take(seen: &mut Vec<Value>, message: Value) {
    let seq = |message: &Value| message["payload"]["seq"].as_u64().unwrap();
    if seen.last().is_none_or(|last| seq(last) != seq(&message)) {
        seen.push(message);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 40,
        max_shrink_iters: 60,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn connections_one_after_another_give_the_filtered_log_and_nothing_else(
        share in 0.0..1.0_f64,
        by_time in any::<bool>(),
        wanted in wanted(),
        leave in vec((0..80_usize, any::<bool>(), any::<bool>()), 0..8),
        later in vec(1..40_usize, 1..6),
    ) {
        Runtime::new().unwrap().block_on(async {
            let world = World::start(ServeOptions::default(), Some(trained().await)).await;
            world.push(100).await;
            let before = world.events();
            let first = (share * before.len() as f64) as usize;
            let mut from = if by_time {
                before[first].time_us
            } else {
                first as u64 + 1
            };
            let (done, mut written) = tokio::sync::watch::channel(());
            let writer = async {
                for frames in later {
                    world.push(frames).await;
                }
                done.send_replace(());
            };
            let reader = async {
                let mut seen: Vec<Value> = Vec::new();
                for (count, is_compressed, resumes_by_time) in leave {
                    // What is in the log now is certain to come.
                    let last = seen.last().map_or(0, |last| last["payload"]["seq"].as_u64().unwrap());
                    let certain = messages(&before).into_iter().skip(first).filter(|message| {
                        message["payload"]["seq"].as_u64().unwrap() >= last
                            && wanted.lets_pass(&world.dids, message)
                    });
                    let count = certain.count().min(count);
                    let query = format!("cursor={from}{}", wanted.query(&world.dids));
                    let mut stream = Stream::connect(&world, is_compressed, &query).await;
                    for _ in 0..count {
                        let message = stream.next().await;
                        take(&mut seen, message);
                    }
                    if let Some(last) = seen.last() {
                        let seq = last["payload"]["seq"].as_u64().unwrap();
                        let time_us = world.events()[seq as usize - 1].time_us;
                        from = if resumes_by_time { time_us } else { seq };
                    }
                }
                written.changed().await.unwrap();
                let query = format!("cursor={from}&caughtUp=true{}", wanted.query(&world.dids));
                let mut stream = Stream::connect(&world, false, &query).await;
                loop {
                    let message = stream.next().await;
                    if message["payload"]["name"] == "CaughtUp" {
                        return seen;
                    }
                    take(&mut seen, message);
                }
            };
            let ((), seen) = tokio::join!(writer, reader);
            let expected: Vec<_> = messages(&world.events())
                .into_iter()
                .skip(first)
                .filter(|message| wanted.lets_pass(&world.dids, message))
                .collect();
            prop_assert_eq!(seen, expected);
            Ok(())
        })?;
    }
}
