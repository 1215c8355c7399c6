//! Every post of the accounts, and every change of their status, is in the files once and nothing
//! else, and the database is what they add up to, deletions of accounts included, while accounts
//! come and go and everything is killed again and again.
//!
//! The relay is in this process and survives. What should have been written follows from the
//! network, made a second time from the same seed, and from the cursors that the control API
//! answered with. Longer runs: `DID_SPOOL_KILLS=50 DID_SPOOL_DIDS=1000000 DID_SPOOL_FRAMES=60000`.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Write;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::Path;
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use jetwash::event::{Body, ParsedEvent};
use jetwash::store::{self, Location, Options, Read};
use jetwash_sim::{Network, NetworkConfig, Rate, RelayConfig, SimEvent, serve};
use jetwash_spool::SpoolReader;
use rusqlite::{Connection, Row};
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
    for (index, happening) in truth.happenings.iter().enumerate() {
        match judged.is_wanted(happening) {
            Some(is_wanted) => assert_eq!(files.contains_key(&index), is_wanted, "{happening:?}"),
            None => unclear += 1,
        }
    }
    let all = truth.happenings.len();
    assert!(unclear * 20 <= all, "{unclear} happenings are unclear");
    let found = compare_database(folder.path(), &truth, &files);
    println!(
        "{settings:?}: {} of {all} posts and statuses written once each, {unclear} written while \
         their account came or went; {} changes, the slowest took {slowest:?}; in the database \
         {found:?}",
        files.len(),
        toggles.len(),
    );
    assert!(!files.is_empty() && files.len() < all);
    // Else nothing would have been shown about accounts.
    assert!(
        found.rows > 0 && found.deleted > 0 && found.hidden > 0,
        "{found:?}"
    );
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

fn network(frames: u64) -> NetworkConfig {
    NetworkConfig {
        accounts: 200,
        records: 200,
        // So that in a short run accounts are deleted, taken down, and come back, and in a long one
        // most of them stay.
        rare_per_million: (450_000_000 / frames).clamp(20_000, 150_000) as u32,
        ..NetworkConfig::default()
    }
}

/// The truth of the network.
struct Truth {
    accounts: Vec<String>,
    happenings: Vec<Happening>,
    /// By DID, revision and path.
    posts: HashMap<(String, String, String), usize>,
    /// By the relay's number.
    statuses: HashMap<u64, usize>,
    frames: u64,
}

#[derive(Debug)]
struct Happening {
    seq: u64,
    did: String,
    what: What,
}

#[derive(Debug)]
enum What {
    Post {
        rev: String,
        path: String,
        action: &'static str,
    },
    Status {
        active: bool,
        status: Option<&'static str>,
    },
}

impl Truth {
    fn new(frames: u64) -> Self {
        let mut network = Network::new(network(frames)).unwrap();
        let mut truth = Self {
            accounts: network.dids().map(str::to_owned).collect(),
            happenings: Vec::new(),
            posts: HashMap::new(),
            statuses: HashMap::new(),
            frames,
        };
        for frame in network.by_ref().take(usize::try_from(frames).unwrap()) {
            let (seq, did) = (frame.seq, frame.did.to_string());
            match frame.event {
                SimEvent::Commit(commit) => {
                    for op in commit.ops.iter().filter(|op| op.collection == POST) {
                        let (rev, path) = (commit.rev.clone(), format!("{POST}/{}", op.rkey));
                        let key = (did.clone(), rev.clone(), path.clone());
                        truth.posts.insert(key, truth.happenings.len());
                        let action = op.action.as_str();
                        truth.push(seq, &did, What::Post { rev, path, action });
                    }
                }
                SimEvent::Account { active, status } => {
                    truth.statuses.insert(seq, truth.happenings.len());
                    truth.push(seq, &did, What::Status { active, status });
                }
                _ => {}
            }
        }
        truth
    }

    fn push(&mut self, seq: u64, did: &str, what: What) {
        let did = did.to_owned();
        self.happenings.push(Happening { seq, did, what });
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
        // The program has no cursor when it connects for the first time.
        wait_for_reader: true,
        history_frames: usize::MAX,
        history_bytes: usize::MAX,
        ..RelayConfig::default()
    };
    let network = Network::new(network(truth.frames)).unwrap();
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
    // Killed before, it would not know that it had followed the relay at all.
    wait_for(&program, |status| status["relay"].is_u64());
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

/// The events that the log has, as cursors and the relay's numbers, both growing.
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
                let event: ParsedEvent = serde_json::from_slice(page.get(index).unwrap()).unwrap();
                let cursor = run.block().meta(index).unwrap().seq;
                events.push((cursor.get(), truth.happenings[truth.find(&event)].seq));
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
    /// Finds the index of an event in the truth, and checks that both agree.
    fn find(&self, event: &ParsedEvent) -> usize {
        let did = event.did.to_string();
        let index = match &event.body {
            Body::Commit(commit) => {
                let path = format!("{}/{}", commit.collection, commit.rkey);
                self.posts[&(did.clone(), commit.rev.to_string(), path)]
            }
            Body::Account(account) => self.statuses[&account.seq],
            Body::Identity(_) | Body::Sync(_) => panic!("{event:?}"),
        };
        let happening = &self.happenings[index];
        let is_same = match (&happening.what, &event.body) {
            (What::Post { action, .. }, Body::Commit(commit)) => {
                *action == commit.operation.as_str()
            }
            (What::Status { active, status }, Body::Account(account)) => {
                *active == account.active && *status == account.status.as_deref()
            }
            _ => false,
        };
        assert!(is_same && happening.did == did, "{event:?}");
        index
    }
}

/// The events in the files, by their index in the truth, posts with their records. Nothing is there
/// twice.
fn files(folder: &Path, truth: &Truth) -> HashMap<usize, Option<String>> {
    let mut found = HashMap::new();
    let reader = SpoolReader::open(folder.join("spool")).unwrap();
    assert_eq!(reader.gap_totals().unwrap(), (0, 0));
    for file in reader.files_after(0).unwrap() {
        for line in file.lines().unwrap() {
            let event: ParsedEvent = serde_json::from_str(&line.unwrap()).unwrap();
            let index = truth.find(&event);
            let record = event.commit().and_then(|commit| commit.record.clone());
            let before = found.insert(index, record.map(|record| record.get().to_owned()));
            assert!(before.is_none(), "twice: {:?}", truth.happenings[index]);
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

    /// Whether something should be in the files; `None` if it came while its account was being added
    /// or removed.
    fn is_wanted(&self, happening: &Happening) -> Option<bool> {
        let mut is_wanted = Some(self.wanted.contains(&happening.did));
        for &(last, next, is_added) in self.toggles.get(&*happening.did).into_iter().flatten() {
            if happening.seq <= last {
                break;
            }
            let holds = happening.seq >= next;
            is_wanted = if holds || is_wanted == Some(is_added) {
                Some(is_added)
            } else {
                None
            };
        }
        is_wanted
    }
}

/// How much the database was found to have.
#[derive(Debug)]
struct Found {
    rows: usize,
    /// Accounts whose rows were removed with them.
    deleted: usize,
    /// Rows of accounts that are not active.
    hidden: usize,
}

/// The database is the last state of each post and account in the files, but for the posts of
/// accounts that were deleted after them.
fn compare_database(folder: &Path, truth: &Truth, files: &HashMap<usize, Option<String>>) -> Found {
    let mut posts: BTreeMap<(String, String), (String, Option<String>)> = BTreeMap::new();
    let mut accounts: BTreeMap<String, (bool, Option<String>)> = BTreeMap::new();
    let mut deleted = 0;
    for (index, Happening { did, what, .. }) in truth.happenings.iter().enumerate() {
        let Some(record) = files.get(&index) else {
            continue;
        };
        match what {
            What::Post { rev, path, .. } => {
                let state = (rev.clone(), record.clone());
                posts.insert((did.clone(), path.clone()), state);
            }
            What::Status { active, status } => {
                accounts.insert(did.clone(), (*active, status.map(str::to_owned)));
                if *status == Some("deleted") {
                    let before = posts.len();
                    posts.retain(|(author, _), _| author != did);
                    deleted += usize::from(posts.len() < before);
                }
            }
        }
    }
    let database = Connection::open(folder.join("posts.sqlite")).unwrap();
    let rows: BTreeMap<_, _> = select(
        &database,
        "SELECT did, path, rev, record FROM posts",
        |row| Ok(((row.get(0)?, row.get(1)?), (row.get(2)?, row.get(3)?))),
    );
    let counts = (rows.len(), posts.len());
    assert!(rows == posts, "{counts:?} rows found and expected");
    let statuses: BTreeMap<_, _> = select(
        &database,
        "SELECT did, active, status FROM accounts",
        |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))),
    );
    assert_eq!(statuses, accounts);
    posts.retain(|_, (_, record)| record.is_some());
    let before = posts.len();
    posts.retain(|(did, _), _| accounts.get(did).is_none_or(|(active, _)| *active));
    let shown: BTreeSet<_> = select(&database, "SELECT did, path FROM shown", |row| {
        Ok((row.get(0)?, row.get(1)?))
    });
    assert!(
        shown.iter().eq(posts.keys()),
        "{} rows are shown",
        shown.len()
    );
    Found {
        rows: rows.len(),
        deleted,
        hidden: before - posts.len(),
    }
}

fn select<T, C: FromIterator<T>>(
    database: &Connection,
    query: &str,
    row: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> C {
    let mut select = database.prepare(query).unwrap();
    let rows = select.query_map([], row).unwrap();
    rows.map(Result::unwrap).collect()
}

const POST: &str = "app.bsky.feed.post";
const PACE: Duration = Duration::from_millis(10);
