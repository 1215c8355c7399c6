//! Subscribers whose events are gone, or damaged.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jetwash::store::Options;
use jetwash::{Jetstream, Seq};
use jetwash_serve::ServeOptions;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use serde_json::Value;
use tokio::time::interval;

use crate::client::Raw;
use crate::log::{Entry, World, lines, soon};

const TEXT: u8 = 0x81;

/// The next text.
async fn text(client: &mut Raw) -> String {
    match client.frame().await.expect("no end") {
        (TEXT, payload) => String::from_utf8(payload).unwrap(),
        (first, _) => panic!("{first:x}"),
    }
}

#[tokio::test]
async fn a_subscriber_that_the_ring_has_moved_past_is_told_and_goes_on() {
    let counters = Counters::default();
    let _recording = metrics::set_default_local_recorder(&counters);
    let builder = Jetstream::builder()
        .store_options(Options::default().block_events(16).bucket_events(64))
        .retain_for(Duration::from_secs(1));
    let world = World::start_narrow_with(builder, ServeOptions::default()).await;
    let mut client = Raw::subscribe(world.address, "gaps=true").await;
    client.send(0x89, b"").await;
    assert_eq!(client.frame().await, Some((0x8a, Vec::new())));
    world.push(1000).await;
    let log = world.log();
    // It reads nothing while everything in the log is forgotten.
    let mut tick = interval(Duration::from_millis(50));
    let forgotten = async {
        while world.jetstream.bounds().oldest_seq <= Seq::new(log[log.len() - 1].seq) {
            tick.tick().await;
            world.push(1).await;
        }
    };
    soon(forgotten).await;
    let mut texts = Vec::new();
    let gap: Value = loop {
        let text = text(&mut client).await;
        if text.starts_with(r#"{"kind":"gap""#) {
            break serde_json::from_str(&text).unwrap();
        }
        texts.push(text);
    };
    assert!((1..log.len()).contains(&texts.len()), "{}", texts.len());
    assert_eq!(texts, lines(&log[..texts.len()]));
    assert_eq!(gap["gap"]["cause"], "trimmed");
    // Syncs, which version 1 does not have, may lie before the gap.
    let from = gap["gap"]["from"].as_u64().unwrap();
    let (last, next) = (&log[texts.len() - 1], &log[texts.len()]);
    assert!(last.seq < from && from <= next.seq, "{from}");
    assert!(counters.told("trimmed") >= 1);
    world.push(1).await;
    let behind = text(&mut client).await;
    assert!(behind.starts_with(r#"{"did":"#), "{behind}");
    assert_eq!(counters.ended("too_slow"), 0);
}

/// Changes the index of a block in the middle of the log. Gives its first event's position, and
/// that of the next block's.
fn damage(folder: &Path) -> (u64, u64) {
    let database = fjall::Database::builder(folder).open().unwrap();
    let bucket = database
        .keyspace("bucket-00000000000000000001", Default::default)
        .unwrap();
    let keys = bucket.iter().map(|guard| guard.key().unwrap());
    // The index has the part number 0, the events 1.
    let mut indexes = keys.filter(|key| key.last() == Some(&0)).skip(5);
    let first_seq = |key: &[u8]| u64::from_be_bytes(*key.first_chunk().unwrap());
    let key = indexes.next().unwrap();
    let next = first_seq(&indexes.next().unwrap());
    bucket.insert(&*key, "changed").unwrap();
    (first_seq(&key), next)
}

#[tokio::test]
async fn a_subscriber_that_comes_to_damaged_events_gets_the_others() {
    let counters = Counters::default();
    let _recording = metrics::set_default_local_recorder(&counters);
    let folder = tempfile::tempdir().unwrap();
    let builder = || {
        Jetstream::builder()
            .folder(folder.path())
            .store_options(Options::default().block_events(16).hot_bytes(1))
    };
    let world = World::start_narrow_with(builder(), ServeOptions::default()).await;
    for _ in 0..30 {
        world.push(10).await;
    }
    let log = world.log();
    world.end().await;
    let (first, next) = damage(folder.path());

    let world = World::start_narrow_with(builder(), ServeOptions::default()).await;
    let is_whole = |entry: &&Entry| !(first..next).contains(&entry.seq);
    let expected: Vec<_> = log.iter().filter(is_whole).cloned().collect();
    let playback = world
        .connect("cursor=0&caughtUp=true")
        .await
        .playback()
        .await;
    assert_eq!(playback, lines(&expected));
    assert_eq!(counters.told("damaged"), 1);
    assert_eq!(counters.ended("read_error"), 0);
}

/// The counters of this thread, by name and labels.
#[derive(Default)]
struct Counters {
    by_key: Mutex<BTreeMap<String, Arc<AtomicU64>>>,
}

impl Counters {
    /// How many subscribers ended for a reason.
    fn ended(&self, reason: &str) -> u64 {
        self.count(&format!("jetwash_subscribers_ended_total reason={reason}"))
    }

    /// How often a reader was told of a gap of a cause.
    fn told(&self, cause: &str) -> u64 {
        self.count(&format!("jetwash_gaps_total cause={cause}"))
    }

    fn count(&self, key: &str) -> u64 {
        let by_key = self.by_key.lock().unwrap();
        by_key
            .get(key)
            .map_or(0, |counter| counter.load(Ordering::Relaxed))
    }
}

impl Recorder for Counters {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let mut name = key.name().to_owned();
        for label in key.labels() {
            name += &format!(" {}={}", label.key(), label.value());
        }
        let mut by_key = self.by_key.lock().unwrap();
        Counter::from_arc(Arc::clone(by_key.entry(name).or_default()))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}
