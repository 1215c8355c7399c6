//! Two relays that damage, leave out, repeat and count anew, in any interleaving, with a process
//! that dies now and then: against a plain list of what has to be in the log.
//!
//! `JETWASH_ORDER_CASES` says how many cases there are.

use std::collections::{BTreeMap, HashSet};

use jetwash::store::{self, Location, Options, Store};
use jetwash::{Micros, Pipeline};
use jetwash_sim::{ManualNetwork, SimChange, SimEvent, SimFrame, SimWrite, did};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::order::numbered;
use crate::{NOW_US, lines};

const POST: &str = "app.bsky.feed.post";
const RELAYS: [&str; 2] = ["a", "b"];

/// A change to an account.
#[derive(Clone, Copy, Debug)]
enum What {
    Create,
    CreateTwo,
    Delete,
    Account,
}

/// A relay's handling of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Whole,
    Damaged,
    Omitted,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Deliver {
        relay: usize,
        frames: usize,
    },
    Commit,
    /// The process dies, and the relays continue from the cursors.
    Crash,
    /// A relay counts anew, and begins this number of frames back.
    Renumber {
        relay: usize,
        back: usize,
    },
}

fn what() -> impl Strategy<Value = (u64, What)> {
    let what = prop_oneof![
        4 => Just(What::Create),
        1 => Just(What::CreateTwo),
        2 => Just(What::Delete),
        1 => Just(What::Account),
    ];
    (0..3_u64, what)
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        8 => Just(Fate::Whole),
        1 => Just(Fate::Damaged),
        1 => Just(Fate::Omitted),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..2_usize, 1..6_usize).prop_map(|(relay, frames)| Step::Deliver { relay, frames }),
        3 => Just(Step::Commit),
        1 => Just(Step::Crash),
        1 => (0..2_usize, 0..9_usize).prop_map(|(relay, back)| Step::Renumber { relay, back }),
    ]
}

/// The frames of a network in which that happens.
fn history(changes: &[(u64, What)]) -> Vec<SimFrame> {
    let mut network = ManualNetwork::new();
    let mut records: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    let mut accounts = BTreeMap::new();
    let mut frames = Vec::new();
    for (number, &(account, what)) in changes.iter().enumerate() {
        let mut make = |part: &str| {
            let rkey = format!("{number}-{part}");
            records.entry(account).or_default().push(rkey.clone());
            let record = json!({"$type": POST, "text": &rkey});
            SimWrite::create(POST, &rkey, record)
        };
        let change = match what {
            What::Create => SimChange::commit(did(account), [make("a")]),
            What::CreateTwo => SimChange::commit(did(account), [make("a"), make("b")]),
            What::Delete => match records.entry(account).or_default().pop() {
                Some(rkey) => SimChange::delete(did(account), POST, &rkey),
                None => continue,
            },
            What::Account => {
                let count = accounts.entry(account).or_insert(0);
                *count += 1;
                if *count > 8 {
                    continue;
                }
                SimChange::account(did(account), *count % 2 == 0, None)
            }
        };
        frames.push(network.apply(&change).unwrap());
    }
    frames
}

/// The events of a frame: the revision if there is one, and what tells the event from all others.
fn events(frame: &SimFrame) -> Vec<(Option<String>, String)> {
    match &frame.event {
        SimEvent::Commit(commit) => {
            let ops = commit.ops.iter();
            ops.map(|op| {
                let text = format!("{} {} {}", frame.did, op.action.as_str(), op.rkey);
                (Some(commit.rev.to_string()), text)
            })
            .collect()
        }
        _ => vec![(None, format!("{} {}", frame.did, frame.time))],
    }
}

fn described(line: &str) -> String {
    let event: Value = serde_json::from_str(line).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let did = text(&event["did"]);
    match &event["commit"] {
        Value::Null => format!("{did} {}", text(&event["account"]["time"])),
        commit => format!(
            "{did} {} {}",
            text(&commit["operation"]),
            text(&commit["rkey"])
        ),
    }
}

/// The content that the log must have.
#[derive(Clone, Default)]
struct Model {
    events: Vec<String>,
    known: HashSet<String>,
    revs: BTreeMap<String, String>,
}

impl Model {
    /// Takes a frame in of which the last `lost` events are damaged.
    fn take(&mut self, frame: &SimFrame, lost: usize) {
        let events = events(frame);
        let whole = events.len() - lost;
        for (rev, event) in events.into_iter().take(whole) {
            let did = frame.did.to_string();
            if let Some(rev) = rev {
                if self.revs.get(&did).is_some_and(|known| *known > rev) {
                    continue;
                }
                self.revs.insert(did, rev);
            }
            if self.known.insert(event.clone()) {
                self.events.push(event);
            }
        }
    }
}

/// A frame as a relay sends it, and how many of its events are damaged.
struct Sent<'a> {
    frame: &'a SimFrame,
    bytes: Vec<u8>,
    lost: usize,
}

struct Relay<'a> {
    name: &'static str,
    frames: Vec<Sent<'a>>,
    /// The frame that has the number 1.
    first: usize,
    /// The next to be sent.
    next: usize,
    epoch: u32,
    /// The epoch that the durable cursor is of.
    durable: u32,
}

impl<'a> Relay<'a> {
    fn new(name: &'static str, history: &'a [SimFrame], fates: &[Fate]) -> Self {
        let fates = fates.iter().copied().cycle();
        let frames = history.iter().zip(fates);
        let frames = frames.filter(|(_, fate)| *fate != Fate::Omitted);
        let frames = frames.map(|(frame, fate)| match fate {
            Fate::Damaged => damaged(frame),
            _ => Sent {
                frame,
                bytes: frame.bytes.clone(),
                lost: 0,
            },
        });
        Self {
            name,
            frames: frames.collect(),
            first: 0,
            next: 0,
            epoch: 0,
            durable: 0,
        }
    }

    fn deliver(&mut self, pipeline: &mut Pipeline, model: &mut Model) {
        let Some(sent) = self.frames.get(self.next) else {
            return;
        };
        self.next += 1;
        let seq = (self.next - self.first) as u64;
        let frame = numbered(&sent.bytes, seq);
        pipeline
            .frame(self.name, &frame, Micros::new(NOW_US))
            .unwrap();
        model.take(sent.frame, sent.lost);
    }
}

/// The last record is not what its CID says; a frame without records is cut short.
fn damaged(frame: &SimFrame) -> Sent<'_> {
    let mut bytes = frame.bytes.clone();
    let place = bytes.windows(5).rposition(|window| window == b"$type");
    let lost = events(frame).len();
    match place {
        // Of several records, which come in the order of their hashes, it would not be known which.
        Some(place) if lost == 1 => bytes[place + 8] ^= 1,
        _ => drop(bytes.pop()),
    }
    Sent { frame, bytes, lost }
}

fn open(folder: &std::path::Path) -> (Pipeline, Store) {
    let location = Location::Disk(folder.to_owned());
    let (appender, log) = store::open(location, Options::default()).unwrap();
    (Pipeline::new(appender).deduplicate(), log)
}

fn run(history: &[SimFrame], fates: &[Vec<Fate>], steps: &[Step]) {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap());
    let mut relays: Vec<_> = RELAYS
        .iter()
        .zip(fates)
        .map(|(name, fates)| Relay::new(name, history, fates))
        .collect();
    let mut ring = Some(open(folder.path()));
    let (mut model, mut durable) = (Model::default(), Model::default());
    let end = [
        Step::Deliver {
            relay: 0,
            frames: history.len(),
        },
        Step::Deliver {
            relay: 1,
            frames: history.len(),
        },
        Step::Commit,
    ];
    for step in steps.iter().chain(&end) {
        let (pipeline, _) = ring.as_mut().unwrap();
        match *step {
            Step::Deliver { relay, frames } => {
                for _ in 0..frames {
                    relays[relay].deliver(pipeline, &mut model);
                }
            }
            Step::Commit => {
                pipeline.commit().unwrap();
                durable.clone_from(&model);
                for relay in &mut relays {
                    let last = (relay.next - relay.first) as u64;
                    if pipeline.cursor(relay.name) == Some(last) {
                        relay.durable = relay.epoch;
                    }
                }
            }
            Step::Crash => {
                drop(ring.take());
                model.clone_from(&durable);
                let reopened = open(folder.path());
                for relay in &mut relays {
                    let cursor = reopened.0.cursor(relay.name).unwrap_or_default();
                    // A relay that has the cursor continues from it, another from its start.
                    let has_cursor = relay.durable == relay.epoch;
                    relay.next = relay.first + if has_cursor { cursor as usize } else { 0 };
                }
                ring = Some(reopened);
            }
            Step::Renumber { relay, back } => {
                let relay = &mut relays[relay];
                relay.next = relay.next.saturating_sub(back);
                relay.first = relay.next;
                relay.epoch += 1;
            }
        }
    }
    let (pipeline, log) = ring.unwrap();
    let found: Vec<String> = lines(&log).iter().map(|line| described(line)).collect();
    assert_eq!(found, model.events, "{:?}", pipeline.snapshot());
    let each: HashSet<&String> = found.iter().collect();
    assert_eq!(each.len(), found.len(), "an event is in the log twice");
}

#[test]
fn each_event_is_in_the_log_once_and_in_the_order_of_its_account() {
    let chosen = std::env::var("JETWASH_ORDER_CASES");
    let config = ProptestConfig {
        cases: chosen.map_or(60, |cases| cases.parse().unwrap()),
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let changes = prop::collection::vec(what(), 5..30);
    let fates = prop::collection::vec(prop::collection::vec(fate(), 7..20), 2..3);
    let steps = prop::collection::vec(step(), 1..40);
    let result =
        TestRunner::new(config).run(&(changes, fates, steps), |(changes, fates, steps)| {
            run(&history(&changes), &fates, &steps);
            Ok(())
        });
    if let Err(error) = result {
        panic!("{error}");
    }
}
