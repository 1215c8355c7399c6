//! Every post of the accounts is in the files once and none other, and the database is what they
//! add up to, while accounts come and go and everything is killed again and again.
//!
//! The relay is in this process and survives. What should have been written follows from the
//! network, made a second time from the same seed, and from the cursors that the control API
//! answered with. Longer runs: `DID_SPOOL_KILLS=50 DID_SPOOL_DIDS=1000000 DID_SPOOL_FRAMES=60000`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::Path;
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use jetwash::event::{Body, Event};
use jetwash::store::{self, Location, Options, Read};
use jetwash_sim::{Network, NetworkConfig, Rate, RelayConfig, SimEvent, serve};
use jetwash_spool::SpoolReader;
use rusqlite::Connection;
use serde_json::Value;

use crate::{Program, call, filler, loader};

#[test]
fn every_post_is_in_the_files_and_the_database_exactly_once() {
    let settings = Settings {
        kills: number("DID_SPOOL_KILLS", 3),
        dids: number("DID_SPOOL_DIDS", 10_000),
        frames: number("DID_SPOOL_FRAMES", 3000),
        rate: number("DID_SPOOL_RATE", 600),
    };
    let folder = tempfile::tempdir().unwrap();
    let truth = Truth::new(settings.frames);
    let wanted = truth.write_dids(folder.path(), settings.dids);
    let (toggles, slowest) = run(&settings, &truth, folder.path());

    let log = Log::read(folder.path(), &truth);
    let files = files(folder.path(), &truth);
    let judged = Judge::new(&log, &wanted, &toggles);
    let mut unclear = 0;
    for (index, post) in truth.posts.iter().enumerate() {
        match judged.is_wanted(post) {
            Some(is_wanted) => assert_eq!(files.contains_key(&index), is_wanted, "{post:?}"),
            None => unclear += 1,
        }
    }
    assert!(
        unclear * 20 <= truth.posts.len(),
        "{unclear} posts are unclear"
    );
    let rows = compare_database(folder.path(), &truth, &files);
    println!(
        "{settings:?}: {} of {} posts written once each, {unclear} written while their account \
         came or went; {} changes, the slowest took {slowest:?}; {rows} rows in the database",
        files.len(),
        truth.posts.len(),
        toggles.len(),
    );
    assert!(!files.is_empty() && files.len() < truth.posts.len());
    assert!(
        toggles.len() as u64 > settings.seconds() * 20,
        "{} changes",
        toggles.len()
    );
}

#[derive(Debug)]
struct Settings {
    kills: u32,
    dids: usize,
    frames: u64,
    rate: u32,
}

impl Settings {
    fn seconds(&self) -> u64 {
        self.frames / u64::from(self.rate)
    }
}

fn number<T: std::str::FromStr>(name: &str, default: T) -> T {
    let value = std::env::var(name).ok();
    value.map_or(default, |value| value.parse().ok().unwrap())
}

fn network() -> NetworkConfig {
    NetworkConfig {
        accounts: 300,
        records: 200,
        ..NetworkConfig::default()
    }
}

/// What the network says.
struct Truth {
    accounts: Vec<String>,
    posts: Vec<Post>,
    by_key: HashMap<(String, String, String), usize>,
    frames: u64,
}

#[derive(Debug)]
struct Post {
    seq: u64,
    did: String,
    rev: String,
    path: String,
    action: &'static str,
}

impl Truth {
    fn new(frames: u64) -> Self {
        let mut network = Network::new(network()).unwrap();
        let accounts = network.dids().map(str::to_owned).collect();
        let mut posts = Vec::new();
        for frame in network.by_ref().take(usize::try_from(frames).unwrap()) {
            let SimEvent::Commit(commit) = frame.event else {
                continue;
            };
            for op in commit.ops.iter().filter(|op| op.collection == POST) {
                posts.push(Post {
                    seq: frame.seq,
                    did: frame.did.to_string(),
                    rev: commit.rev.clone(),
                    path: format!("{POST}/{}", op.rkey),
                    action: op.action.as_str(),
                });
            }
        }
        let key = |post: &Post| (post.did.clone(), post.rev.clone(), post.path.clone());
        let by_key = posts
            .iter()
            .enumerate()
            .map(|(index, post)| (key(post), index))
            .collect();
        Self {
            accounts,
            posts,
            by_key,
            frames,
        }
    }

    /// Writes the DID file: every second account, and such that never write anything.
    fn write_dids(&self, folder: &Path, count: usize) -> HashSet<String> {
        let wanted: HashSet<String> = self.accounts.iter().step_by(2).cloned().collect();
        let mut text = String::new();
        wanted
            .iter()
            .for_each(|did| writeln!(text, "{did}").unwrap());
        (wanted.len()..count).for_each(|number| writeln!(text, "{}", filler(number)).unwrap());
        std::fs::write(folder.join("dids.txt"), text).unwrap();
        wanted
    }
}

/// An account that was added or removed.
struct Toggle {
    did: String,
    is_added: bool,
    /// A position of the log that was reached, and committed, before the call.
    before: u64,
    /// Events after this were judged with the change.
    holds_from: u64,
}

/// Runs everything until all frames have been dealt with.
fn run(settings: &Settings, truth: &Truth, folder: &Path) -> (Vec<Toggle>, Duration) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
        .unwrap();
    let relay = format!("ws://{}", listener.local_addr().unwrap());
    let mut program = Program::start(folder, &relay);
    let config = RelayConfig {
        rate: Rate::PerSecond(NonZeroU32::new(settings.rate).unwrap()),
        frames: Some(truth.frames),
        history_frames: usize::MAX,
        history_bytes: usize::MAX,
        ..RelayConfig::default()
    };
    let network = Network::new(network()).unwrap();
    runtime.spawn(serve(listener, network, config, std::future::pending()));

    let address = Arc::new(Mutex::new(program.address));
    let is_over = Arc::new(AtomicBool::new(false));
    let toggling = {
        let (address, is_over) = (Arc::clone(&address), Arc::clone(&is_over));
        let accounts = truth.accounts.clone();
        thread::spawn(move || toggle(&accounts, &address, &is_over))
    };
    // Files that are loaded stay, for the test to look at.
    let database = folder.join("posts.sqlite");
    let load = || {
        let child = loader(folder, &database).arg("--keep=1000000").spawn();
        Loader(child.unwrap())
    };
    let mut loading = Some(load());
    let step = Duration::from_secs(settings.seconds()) / (settings.kills + 1);
    for kill in 0..settings.kills {
        thread::sleep(step);
        program.kill();
        program = Program::start(folder, &relay);
        *address.lock().unwrap() = program.address;
        // In the second of three parts of the time nothing is loaded.
        let is_away = (settings.kills / 3..2 * settings.kills / 3 + 1).contains(&kill);
        drop(loading.take());
        loading = (!is_away).then(load);
    }
    wait_for(&program, |status| status["relay"] == truth.frames);
    is_over.store(true, Ordering::Relaxed);
    let toggled = toggling.join().unwrap();
    assert!(program.stop());
    drop(loading);
    let mut last = loader(folder, &database);
    assert!(
        last.args(["--once", "--keep=1000000"])
            .status()
            .unwrap()
            .success()
    );
    toggled
}

/// A loader that runs; it is killed when this is dropped.
struct Loader(Child);

impl Drop for Loader {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Adds and removes accounts, a hundred times a second.
fn toggle(
    accounts: &[String],
    address: &Mutex<SocketAddr>,
    is_over: &AtomicBool,
) -> (Vec<Toggle>, Duration) {
    let mut toggles = Vec::new();
    let mut slowest = Duration::ZERO;
    let start = Instant::now();
    // Three quarters of the accounts are never touched, so that the log has always some events.
    let touched: Vec<&String> = accounts
        .iter()
        .skip(1)
        .step_by(2)
        .skip(1)
        .step_by(2)
        .collect();
    for number in 0.. {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        thread::sleep((start + number * PACE).saturating_duration_since(Instant::now()));
        let did = touched[number as usize * 7 % touched.len()];
        let is_added = (number as usize / touched.len()).is_multiple_of(2);
        let (before, holds_from, took) = change(address, did, is_added);
        slowest = slowest.max(took);
        toggles.push(Toggle {
            did: did.clone(),
            is_added,
            before,
            holds_from,
        });
    }
    (toggles, slowest)
}

/// Makes one change, as often as it takes: a program that is killed may or may not have made it.
fn change(address: &Mutex<SocketAddr>, did: &str, is_added: bool) -> (u64, u64, Duration) {
    let method = if is_added { "POST" } else { "DELETE" };
    let mut before = None;
    loop {
        let now = *address.lock().unwrap();
        if before.is_none() {
            before = call(now, "GET", "/status", "")
                .ok()
                .and_then(|(_, status)| status["cursor"].as_u64());
        }
        let begun = Instant::now();
        if let (Some(before), Ok((200, answer))) = (before, call(now, method, "/dids", did)) {
            return (before, answer["cursor"].as_u64().unwrap(), begun.elapsed());
        }
        thread::sleep(PACE);
    }
}

fn wait_for(program: &Program, condition: impl Fn(&Value) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let (_, status) = call(program.address, "GET", "/status", "").unwrap();
        if condition(&status) {
            return;
        }
        assert!(Instant::now() < deadline, "{status}");
        thread::sleep(PACE);
    }
}

/// The posts that the log has, as cursors and the relay's numbers, both growing.
struct Log(Vec<(u64, u64)>);

impl Log {
    fn read(folder: &Path, truth: &Truth) -> Self {
        let location = Location::Disk(folder.join("log"));
        let (_appender, store) = store::open(location, Options::default()).unwrap();
        let mut events: Vec<(u64, u64)> = Vec::new();
        let mut position = store.bounds().oldest_seq;
        while let Read::Events(run) = store.read(position).unwrap() {
            let page = run.block().json().unwrap();
            for index in run.indexes() {
                let event: Event = serde_json::from_slice(page.get(index).unwrap()).unwrap();
                let (index_in_truth, _) = truth.find(&event);
                let cursor = run.block().meta(index).unwrap().seq;
                events.push((cursor, truth.posts[index_in_truth].seq));
            }
            position = run.next_seq();
        }
        assert!(events.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1));
        Self(events)
    }

    /// The relay's number of the last event up to a cursor.
    fn seq_until(&self, cursor: u64) -> u64 {
        let after = self.0.partition_point(|event| event.0 <= cursor);
        after.checked_sub(1).map_or(0, |last| self.0[last].1)
    }

    /// The relay's number of the first event after a cursor.
    fn seq_after(&self, cursor: u64) -> u64 {
        let after = self.0.partition_point(|event| event.0 <= cursor);
        self.0.get(after).map_or(u64::MAX, |event| event.1)
    }
}

impl Truth {
    /// The post that an event is about, and what happened to it. There has to be one.
    fn find(&self, event: &Event) -> (usize, bool) {
        let Body::Commit(commit) = &event.body else {
            panic!("{event:?}");
        };
        let path = format!("{}/{}", commit.collection, commit.rkey);
        let key = (event.did.to_string(), commit.rev.to_string(), path);
        let index = self.by_key[&key];
        assert_eq!(self.posts[index].action, commit.operation.as_str());
        (index, commit.record.is_some())
    }
}

/// The posts in the files, by their index in the truth, with their records. None is there twice.
fn files(folder: &Path, truth: &Truth) -> HashMap<usize, Option<String>> {
    let mut found = HashMap::new();
    let reader = SpoolReader::open(folder.join("spool")).unwrap();
    assert_eq!(reader.gap_totals().unwrap(), (0, 0));
    for file in reader.files_after(0).unwrap() {
        for line in file.lines().unwrap() {
            let event: Event = serde_json::from_str(&line.unwrap()).unwrap();
            let (index, _) = truth.find(&event);
            let record = event.commit().and_then(|commit| commit.record.clone());
            let before = found.insert(index, record.map(|record| record.get().to_owned()));
            assert!(before.is_none(), "twice: {:?}", truth.posts[index]);
        }
    }
    found
}

/// Whose posts should be there.
struct Judge<'a> {
    wanted: &'a HashSet<String>,
    toggles: HashMap<&'a str, Vec<(u64, u64, bool)>>,
}

impl<'a> Judge<'a> {
    fn new(log: &Log, wanted: &'a HashSet<String>, toggles: &'a [Toggle]) -> Self {
        let mut by_did: HashMap<&str, Vec<_>> = HashMap::new();
        for toggle in toggles {
            let (last, next) = (
                log.seq_until(toggle.before),
                log.seq_after(toggle.holds_from),
            );
            by_did
                .entry(&toggle.did)
                .or_default()
                .push((last, next, toggle.is_added));
        }
        Self {
            wanted,
            toggles: by_did,
        }
    }

    /// Whether a post should be in the files; `None` if it came while its account was being added
    /// or removed.
    fn is_wanted(&self, post: &Post) -> Option<bool> {
        let mut is_wanted = Some(self.wanted.contains(&post.did));
        for &(last, next, is_added) in self.toggles.get(&*post.did).into_iter().flatten() {
            if post.seq <= last {
                break;
            }
            let holds = post.seq >= next;
            is_wanted = if holds || is_wanted == Some(is_added) {
                Some(is_added)
            } else {
                None
            };
        }
        is_wanted
    }
}

/// The rows of the database are the last state of each post in the files.
fn compare_database(folder: &Path, truth: &Truth, files: &HashMap<usize, Option<String>>) -> usize {
    let mut expected: BTreeMap<(String, String), (String, Option<String>)> = BTreeMap::new();
    for (index, post) in truth.posts.iter().enumerate() {
        if let Some(record) = files.get(&index) {
            let key = (post.did.clone(), post.path.clone());
            expected.insert(key, (post.rev.clone(), record.clone()));
        }
    }
    let database = Connection::open(folder.join("posts.sqlite")).unwrap();
    let mut select = database
        .prepare("SELECT did, path, rev, record FROM posts")
        .unwrap();
    let rows = select.query_map([], |row| {
        Ok(((row.get(0)?, row.get(1)?), (row.get(2)?, row.get(3)?)))
    });
    let rows: BTreeMap<_, _> = rows.unwrap().map(Result::unwrap).collect();
    assert!(
        rows == expected,
        "{} rows and {} expected",
        rows.len(),
        expected.len()
    );
    rows.len()
}

const POST: &str = "app.bsky.feed.post";
const PACE: Duration = Duration::from_millis(10);
