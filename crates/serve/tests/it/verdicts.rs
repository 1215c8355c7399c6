//! Events with their verdicts.

use std::io;
use std::ops::Range;

use futures_util::future::BoxFuture;
use jetwash::event::Did;
use jetwash::identity::{DocumentAnswer, DocumentSource, IdentityOptions};
use jetwash::{Jetstream, Verify};
use jetwash_serve::ServeOptions;
use jetwash_sim::{NetworkConfig, SimDirectory};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::test_runner::TestCaseError;
use tokio::runtime::Runtime;

use crate::client::Client;
use crate::frames::trained;
use crate::log::{Entry, World, lines};
use crate::modes::Lines;

/// Knows two of three accounts.
struct Forgetful(SimDirectory);

impl DocumentSource for Forgetful {
    fn document<'a>(&'a self, did: &'a Did) -> BoxFuture<'a, io::Result<DocumentAnswer>> {
        let did = did.as_ref();
        let found = self.0.document(did).filter(|_| is_known(did));
        let answer = found.map_or(DocumentAnswer::NotFound, |json| {
            DocumentAnswer::Document(json.into_bytes())
        });
        Box::pin(async { Ok(answer) })
    }
}

fn is_known(did: &str) -> bool {
    !did.bytes()
        .map(usize::from)
        .sum::<usize>()
        .is_multiple_of(3)
}

/// A server that verifies, with `frames` frames in its log.
async fn world(frames: usize) -> World {
    let network = NetworkConfig {
        accounts: 10,
        records: 100,
        ..NetworkConfig::default()
    };
    let source = Forgetful(SimDirectory::new(&network).unwrap());
    let identities = IdentityOptions::new().without_directories();
    let identities = identities.document_source(source).start().unwrap();
    let builder = Jetstream::builder()
        .dictionary(trained().await)
        .verify(Verify::lenient(identities));
    let world = World::start_with(builder, ServeOptions::default()).await;
    world.push(frames).await;
    world
}

/// The lines of a log with a field behind each commit, by hand.
fn expected(log: &[Entry]) -> Vec<String> {
    let line = |entry: &Entry| {
        let verdict = match (entry.is_commit(), is_known(&entry.did)) {
            (false, _) => return entry.json.clone(),
            (true, true) => "verified",
            (true, false) => "unresolved",
        };
        with_field(&entry.json, verdict)
    };
    log.iter().map(line).collect()
}

fn with_field(line: &str, verdict: &str) -> String {
    let open = line.strip_suffix('}').unwrap();
    format!(r#"{open},"verdict":"{verdict}"}}"#)
}

/// The line without its verdict.
fn stripped(line: &str) -> String {
    match line.rsplit_once(r#","verdict":""#) {
        Some((open, verdict)) => {
            let name = verdict.strip_suffix(r#""}"#).unwrap();
            assert!(["verified", "unresolved"].contains(&name), "{line}");
            format!("{open}}}")
        }
        None => line.to_owned(),
    }
}

#[tokio::test]
async fn each_commit_ends_with_its_verdict_in_every_packing() {
    let world = world(300).await;
    for mode in ["no", "true", "batch", "stream"] {
        let query = "cursor=0&caughtUp=true&verdict=true";
        let mut client = Lines::connect(&world, mode, query).await;
        let log = world.log();
        let wanted = expected(&log);
        for name in ["verified", "unresolved"] {
            let field = format!(r#""verdict":"{name}""#);
            assert!(wanted.iter().any(|line| line.contains(&field)), "{name}");
        }
        assert!(log.iter().any(|entry| !entry.is_commit()));
        assert_eq!(client.playback().await, wanted, "{mode}");
        // And live.
        world.push(50).await;
        let wanted = expected(&world.log()[log.len()..]);
        assert_eq!(client.lines(wanted.len()).await, wanted, "{mode}");
    }
}

#[tokio::test]
async fn nobody_else_gets_a_verdict() {
    let world = world(200).await;
    let mut asking = world.subscribe("cursor=0&verdict=true").await;
    for query in ["", "&verdict=false", "&verdict=1", "&verdict="] {
        let mut client = world.connect(&format!("cursor=0{query}")).await;
        let log = lines(&world.log());
        assert_eq!(client.texts(log.len()).await, log, "{query}");
    }
    let log = expected(&world.log());
    assert_eq!(asking.texts(log.len()).await, log);
}

#[tokio::test]
async fn commits_that_nobody_verified_say_so() {
    let world = World::with(100).await;
    let mut client = world.connect("cursor=0&verdict=true").await;
    for entry in world.log() {
        let wanted = match entry.is_commit() {
            true => with_field(&entry.json, "unverified"),
            false => entry.json,
        };
        assert_eq!(client.text().await, wanted);
    }
}

#[tokio::test]
async fn a_frame_with_verdicts_is_the_same_for_all_who_ask() {
    let world = world(300).await;
    for mode in ["true", "batch"] {
        let query = format!("cursor=0&compress={mode}&verdict=true");
        let mut first = world.connect(&query).await;
        let mut second = world.connect(&query).await;
        for _ in 0..world.log().len() / 64 {
            assert_eq!(first.binary().await, second.binary().await);
        }
    }
}

#[tokio::test]
async fn a_limit_on_size_counts_the_verdict() {
    let world = world(200).await;
    let log = world.log();
    // Just long enough for that commit without its verdict.
    let limit = log
        .iter()
        .find(|entry| entry.is_commit())
        .unwrap()
        .json
        .len();
    let query = format!("cursor=0&maxMessageSizeBytes={limit}&caughtUp=true&verdict=true");
    let mut client = world.connect(&query).await;
    let mut wanted = expected(&log);
    wanted.retain(|line| line.len() <= limit);
    let without = log.iter().filter(|entry| entry.json.len() <= limit);
    assert!((1..without.count()).contains(&wanted.len()));
    assert_eq!(client.playback().await, wanted);
}

#[tokio::test]
async fn an_options_update_leaves_the_verdicts_as_they_are() {
    let world = world(10).await;
    let mut client = world.subscribe("verdict=true").await;
    client
        .update(r#"{"wantedCollections":["app.bsky.feed.like"],"verdict":false}"#)
        .await;
    client.settle().await;
    let before = world.log().len();
    world.push(100).await;
    let log = world.log().split_off(before);
    let is_wanted = |entry: &&Entry| !entry.is_commit() || entry.collection == "app.bsky.feed.like";
    let wanted: Vec<_> = log.iter().filter(is_wanted).cloned().collect();
    let wanted = expected(&wanted);
    assert_eq!(client.texts(wanted.len()).await, wanted);
}

#[tokio::test]
async fn other_formats_have_no_verdict() {
    let world = World::with(1).await;
    for format in ["binary", "v0"] {
        let query = format!("format={format}&verdict=true");
        let refusal = Client::try_connect(world.address, &query, &[]).await;
        let refusal = refusal.err().unwrap();
        let body = "invalid verdict: true (only events of the format v1 have a verdict)";
        assert_eq!((refusal.status, refusal.body.as_str()), (400, body));
    }
}

/// The wishes of a subscriber.
#[derive(Clone, Debug)]
struct Wishes {
    mode: &'static str,
    collections: Vec<&'static str>,
    dids: Range<usize>,
    /// The event of the log to start with, in parts of a thousand.
    start: usize,
}

fn wishes() -> impl Strategy<Value = Wishes> {
    let collections = vec![
        "app.bsky.feed.post",
        "app.bsky.feed.like",
        "app.bsky.graph.*",
    ];
    let parts = (
        select(vec!["no", "true", "batch", "stream"]),
        subsequence(collections, 0..=2),
        (0..10_usize, 0..5_usize),
        0..1000_usize,
    );
    parts.prop_map(|(mode, collections, (first, count), start)| Wishes {
        mode,
        collections,
        dids: first..(first + count).min(10),
        start,
    })
}

impl Wishes {
    fn query(&self, world: &World, log: &[Entry]) -> String {
        let start = &log[self.start * (log.len() - 1) / 1000];
        let mut query = format!("caughtUp=true&cursor={}", start.time_us);
        for collection in &self.collections {
            query += &format!("&wantedCollections={collection}");
        }
        for did in self.dids.clone() {
            query += &format!("&wantedDids={}", world.dids[did]);
        }
        query
    }
}

/// Without the field, every subscriber has what it would have got.
#[test]
fn lines_without_the_field_are_those_of_version_1() {
    let runtime = Runtime::new().unwrap();
    let world = runtime.block_on(world(400));
    let log = world.log();
    let config = ProptestConfig::with_cases(48);
    proptest!(config, |(wishes in wishes())| {
        runtime.block_on(async {
            let query = wishes.query(&world, &log);
            let mut plain = Lines::connect(&world, wishes.mode, &query).await;
            let asking = format!("{query}&verdict=true");
            let mut asking = Lines::connect(&world, wishes.mode, &asking).await;
            let lines = asking.playback().await;
            let without: Vec<_> = lines.iter().map(|line| stripped(line)).collect();
            prop_assert_eq!(&without, &plain.playback().await);
            let commits = lines.iter().filter(|line| line.contains(r#""kind":"commit""#));
            let told = lines.iter().zip(&without).filter(|(line, plain)| line != plain);
            prop_assert_eq!(commits.count(), told.count());
            Ok::<(), TestCaseError>(())
        })?;
    });
}
