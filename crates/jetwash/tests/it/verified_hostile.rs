//! Frames of strangers who mean harm, in a process that verifies: the others lose nothing by them.

use std::collections::HashMap;
use std::env;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use jetwash::event::Did;
use jetwash::identity::{DocumentAnswer, DocumentSource, Identities, IdentityOptions};
use jetwash::store::{Read, Store};
use jetwash::{Jetstream, JetstreamBuilder, Micros, Pusher, Snapshot, Verdict, Verify};
use jetwash_sim::{ManualNetwork, SimChange, SimFrame, did};
use serde_json::json;
use tokio::time::timeout;

use crate::run::start;
use crate::simulated::describe;

const SOURCE: &str = "relay";

#[tokio::test]
async fn a_flood_of_false_signatures_has_keys_asked_for_within_the_budget() {
    const ACCOUNTS: u64 = 500;
    let (mut real, mut forger) = (ManualNetwork::new(), forger());
    let directory = Directory::default();
    let (jetstream, stop, task) = start(verifying(directory.identities()));
    let relay = Relay::new(&jetstream);
    for account in 0..ACCOUNTS {
        let first = post(&mut real, account, "first");
        directory.learn(&real, account);
        relay.push(&first).await;
    }
    // Their keys have been looked up, all of them.
    relay.until(|now| now.events == ACCOUNTS).await;
    assert_eq!(directory.asked(), ACCOUNTS);
    let (begun, each) = (Instant::now(), 20);
    for round in 0..each {
        for account in 0..ACCOUNTS {
            forger.set_time(real.time());
            relay
                .push(&post(&mut forger, account, &format!("false{round}")))
                .await;
        }
        // A neighbour writes in the middle of it.
        relay.push(&post(&mut real, round, "more")).await;
    }
    let forged = each * ACCOUNTS;
    relay
        .until(|now| sum(now) == ACCOUNTS + each + forged)
        .await;
    let snapshot = jetstream.snapshot();
    assert_eq!(snapshot.invalid["signature_mismatch"], forged);
    assert_eq!(snapshot.verdicts["verified"], ACCOUNTS + each);
    let took = begun.elapsed();
    drop(stop);
    task.await.unwrap();
    let found = events_of(jetstream.store());
    assert_eq!(found.len() as u64, ACCOUNTS + each);
    assert!(
        found
            .iter()
            .all(|(_, verdict)| *verdict == Some(Verdict::Verified))
    );
    // 100 at once, and 5 a second: the budget after bad signatures.
    let budget = 100 + 5 * (took.as_secs() + 1);
    let asked = directory.asked() - ACCOUNTS;
    assert!(
        (1..=budget).contains(&asked),
        "{asked} times, for {forged} frames"
    );
}

/// `JETWASH_FLOOD` says how many accounts, 10,000 if it is not set.
#[tokio::test]
async fn a_flood_of_new_accounts_does_not_hold_up_those_that_are_known() {
    const KNOWN: u64 = 50;
    let flood = env::var("JETWASH_FLOOD").map_or(10_000, |count| count.parse().unwrap());
    let mut network = ManualNetwork::new();
    let directory = Directory::default();
    let verify = directory.lenient_for(Duration::from_secs(3600));
    // All of the flood is to be in the log at the end.
    let (jetstream, stop, task) = start(Jetstream::builder().verify(verify));
    let relay = Relay::new(&jetstream);
    for account in 0..KNOWN {
        let first = post(&mut network, account, "first");
        directory.learn(&network, account);
        relay.push(&first).await;
    }
    relay.until(|now| now.events == KNOWN).await;
    directory.is_silent.store(true, Ordering::Relaxed);
    let (mut held, mut known) = (0, 0);
    for number in 0..flood {
        relay.push(&post(&mut network, KNOWN + number, "new")).await;
        held = held.max(jetstream.snapshot().held);
        if number % 100 == 0 {
            // It is in the log before the flood goes on.
            relay
                .push(&post(
                    &mut network,
                    number / 100 % KNOWN,
                    &format!("more{number}"),
                ))
                .await;
            known += 1;
            relay
                .until(|now| now.verdicts["verified"] == KNOWN + known)
                .await;
        }
    }
    // Nobody answers for an hour: those that found no room are in the log without a key.
    relay
        .until(|now| {
            // A frame that is just let go counts in both for a moment.
            let all = now.held + sum(now) == KNOWN + known + flood;
            all && now.held + now.verdicts["unresolved"] == flood
        })
        .await;
    let snapshot = jetstream.snapshot();
    assert!((1..=HELD_MOST).contains(&held), "{held} frames were held");
    assert!(snapshot.held <= HELD_MOST && snapshot.invalid.is_empty());
    let waiting = directory.asked() - KNOWN;
    assert!(waiting <= ASKED_AT_ONCE, "{waiting} questions at once");
    drop(stop);
    task.await.unwrap();
}

#[tokio::test]
async fn a_key_that_rotates_back_and_forth_is_asked_for_once_each_time() {
    const ROUNDS: u64 = 20;
    let (mut network, mut other) = (ManualNetwork::new(), forger());
    post(&mut other, 0, "so that the account is there");
    let directory = Directory::default();
    let (jetstream, stop, task) = start(verifying(directory.identities()));
    let relay = Relay::new(&jetstream);
    let mut asked = 0;
    for round in 0..ROUNDS {
        let is_own = round % 2 == 0;
        let first = post(&mut network, 0, &format!("first{round}"));
        directory.learn(if is_own { &network } else { &other }, 0);
        let identity = network.apply(&SimChange::identity(did(0), None)).unwrap();
        relay.push(&identity).await;
        let second = post(&mut network, 0, &format!("second{round}"));
        for (number, frame) in [(1, &first), (2, &second)] {
            relay.push(frame).await;
            relay.until(|now| sum(now) == 2 * round + number).await;
        }
        // Once for the `#identity`, and once in all for a signature that a known key does not fit.
        asked += 1 + u64::from(round == 1);
        assert_eq!(directory.asked(), asked, "in round {round}");
    }
    drop(stop);
    task.await.unwrap();
    let snapshot = jetstream.snapshot();
    assert_eq!(snapshot.invalid["signature_mismatch"], ROUNDS);
    let delivered = events_of(jetstream.store());
    let commits: Vec<_> = delivered
        .iter()
        .filter_map(|(_, verdict)| *verdict)
        .collect();
    // What comes right after commits that were dropped does not follow on what was there before.
    let mut expected = [Verdict::Discontinuous, Verdict::Verified].repeat(ROUNDS as usize / 2);
    expected[0] = Verdict::Verified;
    assert_eq!(commits, expected);
}

#[tokio::test]
async fn a_revision_of_the_far_future_does_not_keep_the_account_out() {
    let (mut network, mut far) = (ManualNetwork::new(), ManualNetwork::new());
    let directory = Directory::default();
    let (jetstream, stop, task) = start(verifying(directory.identities()));
    let relay = Relay::new(&jetstream);
    let first = post(&mut network, 0, "a");
    directory.learn(&network, 0);
    relay.push(&first).await;
    // The year 2250: revisions end in 2255.
    far.set_time(Micros::new(8_836_000_000_000_000));
    relay.push(&post(&mut far, 0, "signed")).await;
    relay
        .push(&far.apply(&SimChange::sync(did(0))).unwrap())
        .await;
    relay.push(&post(&mut network, 0, "b")).await;
    relay.until(|now| sum(now) == 4).await;
    let snapshot = jetstream.snapshot();
    assert_eq!(snapshot.invalid, [("rev_future", 2)].into());
    assert_eq!(snapshot.verdicts["verified"], 2);
    drop(stop);
    task.await.unwrap();
}

#[tokio::test]
async fn a_forged_sync_with_the_right_data_changes_nothing() {
    let (mut network, mut forger) = (ManualNetwork::new(), forger());
    let directory = Directory::default();
    let (jetstream, stop, task) = start(verifying(directory.identities()));
    let mut resyncs = jetstream.resyncs();
    let relay = Relay::new(&jetstream);
    for key in ["a", "b"] {
        let frame = post(&mut network, 0, key);
        directory.learn(&network, 0);
        relay.push(&frame).await;
        // The same records, so the same tree, at a later revision and by another key.
        post(&mut forger, 0, key);
        forger.set_time(network.time());
        forger.set_next_seq(network.next_seq());
        relay
            .push(&forger.apply(&SimChange::sync(did(0))).unwrap())
            .await;
    }
    // One with another tree, too.
    post(&mut forger, 0, "c");
    relay
        .push(&forger.apply(&SimChange::sync(did(0))).unwrap())
        .await;
    network.set_time(forger.time());
    relay.push(&post(&mut network, 0, "d")).await;
    relay.until(|now| sum(now) == 6).await;
    let snapshot = jetstream.snapshot();
    assert_eq!(snapshot.invalid, [("signature_mismatch", 3)].into());
    assert_eq!(snapshot.verdicts["verified"], 3);
    drop(stop);
    task.await.unwrap();
    drop(jetstream);
    assert!(
        resyncs.recv().await.is_none(),
        "a repository is not incomplete"
    );
}

#[tokio::test]
async fn what_comes_again_after_a_restart_needs_no_key() {
    let folder = tempfile::tempdir().unwrap();
    let mut network = ManualNetwork::new();
    let frames: Vec<_> = (0..100)
        .map(|number| post(&mut network, number % 10, &format!("key{number}")))
        .collect();
    let directory = Directory::default();
    (0..10).for_each(|account| directory.learn(&network, account));
    let (jetstream, stop, task) = start(verifying(directory.identities()).folder(folder.path()));
    let relay = Relay::new(&jetstream);
    for frame in &frames {
        relay.push(frame).await;
    }
    relay.until(|now| now.events == 100).await;
    drop(stop);
    task.await.unwrap();
    drop(jetstream);

    directory.is_silent.store(true, Ordering::Relaxed);
    let asked = directory.asked();
    let (jetstream, stop, task) = start(verifying(directory.identities()).folder(folder.path()));
    let relay = Relay::new(&jetstream);
    for frame in &frames[50..] {
        relay.push(frame).await;
    }
    relay.until(|now| now.repeated == 50).await;
    let snapshot = jetstream.snapshot();
    assert_eq!(
        (snapshot.held, snapshot.events, snapshot.gaps.len()),
        (0, 0, 0)
    );
    assert_eq!(directory.asked(), asked);
    drop(stop);
    task.await.unwrap();
}

/// A network whose accounts have other keys than those of another.
fn forger() -> ManualNetwork {
    let mut network = ManualNetwork::new();
    let shifted = SimChange::identity("did:web:shifts.the.keys", None);
    network.apply(&shifted).unwrap();
    network.set_next_seq(1_000_000);
    network
}

fn post(network: &mut ManualNetwork, account: u64, key: &str) -> SimFrame {
    let change = SimChange::create(did(account), "app.example.post", key, json!({"text": key}));
    network.apply(&change).unwrap()
}

fn verifying(identities: Identities) -> JetstreamBuilder {
    Jetstream::builder().verify(Verify::lenient(identities))
}

/// The commits and `#sync` frames that have a verdict.
fn sum(snapshot: &Snapshot) -> u64 {
    snapshot.verdicts.values().sum()
}

fn events_of(store: &Store) -> Vec<(String, Option<Verdict>)> {
    let mut events = Vec::new();
    let mut position = store.bounds().oldest_seq;
    while let Read::Events(run) = store.read(position).unwrap() {
        let page = run.block().json().unwrap();
        for index in run.indexes() {
            let line = std::str::from_utf8(page.get(index).unwrap()).unwrap();
            let verdict = run.block().meta(index).unwrap().verdict;
            events.push((describe(line), Verdict::from_byte(verdict)));
        }
        position = run.next_seq();
    }
    events
}

/// A source that sends what it is told to.
struct Relay<'a> {
    jetstream: &'a Jetstream,
    pusher: Pusher,
}

impl<'a> Relay<'a> {
    fn new(jetstream: &'a Jetstream) -> Self {
        let pusher = jetstream.pusher(SOURCE);
        Self { jetstream, pusher }
    }

    async fn push(&self, frame: &SimFrame) {
        self.pusher.push(frame.bytes.clone()).await.unwrap();
    }

    async fn until(&self, is_so: impl Fn(&Snapshot) -> bool) {
        let wait = async {
            while !is_so(&self.jetstream.snapshot()) {
                tokio::task::yield_now().await;
            }
        };
        let waited = timeout(Duration::from_secs(60), wait).await;
        assert!(waited.is_ok(), "{:?}", self.jetstream.snapshot());
    }
}

/// The documents that are known, and how often somebody asked.
#[derive(Clone, Default)]
struct Directory {
    documents: Arc<Mutex<HashMap<String, String>>>,
    asked: Arc<AtomicU64>,
    /// Whether it does not answer any more.
    is_silent: Arc<AtomicBool>,
}

impl Directory {
    fn learn(&self, network: &ManualNetwork, account: u64) {
        let document = network.did_document(&did(account)).unwrap();
        let mut documents = self.documents.lock().unwrap();
        documents.insert(did(account), document);
    }

    fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    fn options(&self) -> IdentityOptions {
        IdentityOptions::new()
            .document_source(self.clone())
            .without_directories()
            .invalidation_interval(Duration::ZERO)
    }

    fn identities(&self) -> Identities {
        self.options().start().unwrap()
    }

    /// Verification that waits that long for keys.
    fn lenient_for(&self, time: Duration) -> Verify {
        let options = self.options().request_limit(time).look_up_limit(time);
        Verify::lenient(options.start().unwrap()).hold_for(time)
    }
}

impl DocumentSource for Directory {
    fn document<'a>(&'a self, did: &'a Did) -> BoxFuture<'a, io::Result<DocumentAnswer>> {
        Box::pin(async move {
            self.asked.fetch_add(1, Ordering::Relaxed);
            if self.is_silent.load(Ordering::Relaxed) {
                return std::future::pending().await;
            }
            let documents = self.documents.lock().unwrap();
            let document = documents.get(did.as_str()).cloned();
            Ok(match document {
                Some(json) => DocumentAnswer::Document(json.into_bytes()),
                None => DocumentAnswer::NotFound,
            })
        })
    }
}

/// The most frames that are held, and the most questions to a source at once.
const HELD_MOST: u64 = 8_192;
const ASKED_AT_ONCE: u64 = 64;
