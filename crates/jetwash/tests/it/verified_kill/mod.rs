//! A process that verifies what it takes in is killed again and again, also while frames wait for
//! keys. No state may be ahead of its events, and no repository wrongly incomplete afterwards.
//!
//! `JETWASH_KILLS` says how often, 10 times if it is not set.
//!
//! - `child`: the process that is killed.

mod child;

use std::collections::{BTreeMap, HashMap};
use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use jetwash::Verdict;
use jetwash::event::Tid;
use jetwash::store::{self, Appender, FrameStart, Frames, Location, Options, Read, Store};
use jetwash::verification::RepoState;
use jetwash_sim::{Network, NetworkConfig, SimEvent, SimFrame};

use crate::kill::{Random, was_killed, write_frames};
use crate::simulated::{describe, expected_of};

/// The points at which the process can be made to die, with how often it may pass them before.
const POINTS: [(&str, u64); 8] = [
    ("open.engine", 1),
    ("open.versioned", 1),
    ("commit.begun", 60),
    ("commit.reserved", 1),
    ("commit.planned", 60),
    ("commit.bucket_begun", 3),
    ("commit.written", 60),
    ("commit.published", 60),
];

const SOURCE: &str = "sim";

#[test]
fn whatever_kills_a_verifying_process_no_state_is_ahead_of_its_events() {
    kill_while_verifying(false);
}

#[test]
fn whatever_kills_a_verifying_process_the_kept_frames_have_no_gap() {
    kill_while_verifying(true);
}

fn kill_while_verifying(keeps_frames: bool) {
    let kills = env::var("JETWASH_KILLS").map_or(10, |kills| kills.parse().unwrap());
    let world = World::new(if kills < 50 { 600 } else { 2_500 });
    let mut tally = BTreeMap::new();
    let mut random = Random(kills + u64::from(keeps_frames));
    let (mut killed, mut epochs, mut waiting) = (0, 0, 0);
    while killed < kills {
        let mut epoch = Epoch::new(&world, keeps_frames);
        loop {
            let has_ended = epoch.round(&mut random, killed < kills);
            waiting += u64::from(epoch.check());
            if has_ended {
                break;
            }
            *tally.entry(epoch.last_death).or_insert(0) += 1;
            killed += 1;
        }
        assert_eq!(epoch.seen.len(), world.events, "events are missing");
        epochs += 1;
    }
    println!(
        "{killed} kills in {epochs} runs over the same frames, {waiting} while frames waited for \
         keys behind others that were in the log: {tally:?}"
    );
    if kills >= 200 {
        assert!(waiting > 0, "no frame waited when the process died");
        for (point, _) in POINTS {
            assert!(tally.contains_key(point), "{point} was never reached");
        }
    }
}

fn network() -> NetworkConfig {
    NetworkConfig {
        accounts: 40,
        records: 50,
        rare_per_million: 20_000,
        ..NetworkConfig::default()
    }
}

/// The frames, and what has to come of them.
struct World {
    folder: tempfile::TempDir,
    frames: Vec<SimFrame>,
    accounts: HashMap<String, Vec<Item>>,
    events: usize,
}

/// The part of a frame in the story of its account.
struct Item {
    seq: u64,
    /// The revision that a commit leads to, or that a `#sync` names.
    rev: Option<Tid>,
    is_commit: bool,
    events: Vec<String>,
}

impl World {
    fn new(count: usize) -> Self {
        let frames: Vec<SimFrame> = Network::new(network()).unwrap().take(count).collect();
        let folder = tempfile::tempdir().unwrap();
        write_frames(&folder.path().join("frames"), &frames);
        let mut accounts: HashMap<String, Vec<Item>> = HashMap::new();
        let mut events = 0;
        for frame in &frames {
            let rev = match &frame.event {
                SimEvent::Commit(commit) => Some(commit.rev.parse().unwrap()),
                SimEvent::Sync { rev, .. } => Some(rev.parse().unwrap()),
                _ => None,
            };
            let item = Item {
                seq: frame.seq,
                rev,
                is_commit: matches!(frame.event, SimEvent::Commit(_)),
                events: expected_of(frame),
            };
            events += item.events.len();
            accounts
                .entry(frame.did.to_string())
                .or_default()
                .push(item);
        }
        Self {
            folder,
            frames,
            accounts,
            events,
        }
    }
}

/// One log, from its making to the last frame.
struct Epoch<'a> {
    world: &'a World,
    folder: tempfile::TempDir,
    keeps_frames: bool,
    /// The events of the log after the last death.
    seen: Vec<String>,
    /// The greatest next position that was ever told.
    next_seq: u64,
    last_death: &'static str,
}

impl<'a> Epoch<'a> {
    fn new(world: &'a World, keeps_frames: bool) -> Self {
        Self {
            world,
            folder: folder(),
            keeps_frames,
            seen: Vec::new(),
            next_seq: 1,
            last_death: "",
        }
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// Runs the process until it dies or has taken in all frames, which is told.
    fn round(&mut self, random: &mut Random, kill: bool) -> bool {
        let mut command = Command::new(env::current_exe().unwrap());
        let name = "verified_kill::child::child_that_verifies";
        command
            .args([name, "--exact", "--ignored", "--nocapture"])
            .env("JETWASH_KILL_FOLDER", self.log())
            .env(
                "JETWASH_KILL_FRAMES",
                self.world.folder.path().join("frames"),
            )
            .env(
                "JETWASH_KILL_KEEPS",
                u8::from(self.keeps_frames).to_string(),
            )
            .env("JETWASH_KILL_EVENTS", self.world.events.to_string())
            .env("JETWASH_KILL_SEED", random.below(u64::MAX).to_string())
            .stdout(Stdio::piped());
        let (mut point, mut kill_at) = (None, u64::MAX);
        if kill && random.below(2) == 0 {
            let (name, passes) = match self.next_seq {
                1 if random.below(2) == 0 => ("open.versioned", 1),
                _ => POINTS[random.below(POINTS.len() as u64) as usize],
            };
            let pass = 1 + random.below(passes);
            command.env("JETWASH_CRASH_POINT", format!("{name}:{pass}"));
            point = Some(name);
        } else if kill {
            kill_at = self.next_seq + random.below(self.world.events as u64 / 4);
        }
        let mut child = command.spawn().unwrap();
        let (mut is_killed, mut has_ended) = (false, false);
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            has_ended |= line.ends_with("all frames have been taken in");
            assert!(!line.contains("incomplete: "), "{line}");
            let Some(next_seq) = line.strip_prefix("next ") else {
                continue;
            };
            // The last line of a process that dies may not be whole.
            self.next_seq = next_seq.parse().unwrap_or(0).max(self.next_seq);
            if self.next_seq >= kill_at && !is_killed {
                child.kill().unwrap();
                is_killed = true;
            }
        }
        let status = child.wait().unwrap();
        if status.success() && has_ended {
            return true;
        }
        if !was_killed(status, is_killed) {
            // The child has said why.
            self.folder.disable_cleanup(true);
            panic!("{status}; see {}", self.folder.path().display());
        }
        self.last_death = point.unwrap_or("SIGKILL");
        false
    }

    /// Looks at a copy of the log, so that the next process recovers from the death itself. Returns
    /// whether the stored cursor is before frames whose events are in the log.
    fn check(&mut self) -> bool {
        if !self.log().exists() {
            return false;
        }
        let copy = folder();
        copy_all(&self.log(), copy.path());
        let options = Options::default();
        let options = match self.keeps_frames {
            true => options.keep_frames(FRAME_BYTES),
            false => options,
        };
        let location = Location::Disk(copy.path().to_owned());
        let (mut appender, store) = store::open(location, options).unwrap();
        let (events, verdicts) = events_of(&store);
        assert!(events.len() as u64 + 1 >= self.next_seq, "events are gone");
        assert!(
            events.starts_with(&self.seen),
            "positions were given out twice"
        );
        for (event, verdict) in events.iter().zip(&verdicts) {
            let is_commit = !event.contains(" identity") && !event.contains(" account ");
            assert_eq!(*verdict, is_commit.then_some(Verdict::Verified), "{event}");
        }
        let cursor = appender.cursor(SOURCE).unwrap_or(0);
        let mut found: HashMap<&str, Vec<&String>> = HashMap::new();
        for event in &events {
            let did = event.split_once(' ').unwrap().0;
            found.entry(did).or_default().push(event);
        }
        let mut is_behind = false;
        for (did, items) in &self.world.accounts {
            let found = found.remove(&**did).unwrap_or_default();
            is_behind |= check_account(&mut appender, did, items, &found, cursor);
        }
        assert!(found.is_empty(), "events of nobody: {found:?}");
        if self.keeps_frames {
            self.check_frames(&store, cursor);
        }
        self.seen = events;
        is_behind
    }

    /// The kept frames are those that came, from the first one on.
    fn check_frames(&self, store: &Store, cursor: u64) {
        let Some(mut reader) = store.frames(SOURCE, FrameStart::Oldest) else {
            panic!("no frames are kept");
        };
        let mut expected = self.world.frames.iter();
        let mut last = 0;
        while let Frames::Next(frames) = reader.read().unwrap() {
            for frame in frames {
                let expected = expected.next().unwrap();
                assert_eq!(frame.seq, expected.seq, "a gap");
                assert!(frame.bytes == expected.bytes, "another frame");
                last = frame.seq;
            }
        }
        assert!(
            last >= cursor,
            "frames up to {cursor} were read, and kept up to {last}"
        );
    }
}

/// Checks what the log has of an account against what came of it.
fn check_account(
    appender: &mut Appender,
    did: &str,
    items: &[Item],
    found: &[&String],
    cursor: u64,
) -> bool {
    let expected: Vec<&String> = items.iter().flat_map(|item| &item.events).collect();
    assert!(expected.starts_with(found), "{did}: {found:?}");
    let (mut count, mut due) = (0, 0);
    let (mut least, mut possible, mut is_behind) = (None, Vec::new(), false);
    for item in items {
        count += item.events.len();
        if item.seq <= cursor {
            due = count;
        }
        if count > found.len() {
            break;
        }
        is_behind |= item.seq > cursor && !item.events.is_empty();
        if let Some(rev) = item.rev {
            if !item.events.is_empty() {
                possible.clear();
                // The revision beside the digests is that of an operation, which a sync has not.
                least = if item.is_commit { Some(rev) } else { least };
            }
            possible.push(rev);
        }
    }
    let in_whole = items.iter().scan(0, |sum, item| {
        *sum += item.events.len();
        Some(*sum)
    });
    let is_whole = found.is_empty() || in_whole.into_iter().any(|sum| sum == found.len());
    assert!(is_whole, "{did} has a part of a frame");
    assert!(
        due <= found.len(),
        "{did}: the cursor is ahead of the events"
    );
    let state = appender.account(did).unwrap().unwrap_or_default();
    let number = |rev: &Tid| rev.time().get() << 10 | u64::from(rev.clock());
    assert_eq!(state.rev, least.as_ref().map_or(0, number), "{did}");
    let repo = state
        .repo
        .map(|repo| RepoState::from_bytes(repo.as_bytes()).unwrap());
    match &repo {
        Some(repo) => {
            assert!(
                possible.contains(&repo.rev()),
                "{did} is at another revision"
            );
            assert!(!repo.is_desynchronised(), "{did} is not incomplete");
        }
        None => assert!(least.is_none(), "{did} has events and no state"),
    }
    is_behind
}

/// Every event of a log, described, and its verdict.
fn events_of(store: &Store) -> (Vec<String>, Vec<Option<Verdict>>) {
    let (mut events, mut verdicts) = (Vec::new(), Vec::new());
    let mut position = store.bounds().oldest_seq;
    while let Read::Events(run) = store.read(position).unwrap() {
        let page = run.block().json().unwrap();
        for index in run.indexes() {
            let line = std::str::from_utf8(page.get(index).unwrap()).unwrap();
            events.push(describe(line));
            verdicts.push(Verdict::from_byte(run.block().meta(index).unwrap().verdict));
        }
        position = run.next_seq();
    }
    (events, verdicts)
}

/// A folder in memory where there is such a place: nothing has to survive the machine.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

fn copy_all(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&to).unwrap();
            copy_all(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

const FRAME_BYTES: u64 = 1 << 26;
