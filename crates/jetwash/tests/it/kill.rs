//! A process that takes in frames is killed again and again; nothing may be lost of it.
//!
//! `JETWASH_KILLS` says how often, 10 times if it is not set.

use jetwash::{Micros, Pipeline, Seq};
use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Read as _, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use jetwash::store::{self, Durability, Location, Options, Read, Retention, Store};
use jetwash_sim::{Network, NetworkConfig, SimFrame};

use crate::NOW_US;
use crate::simulated::{describe, expected_of};

/// The points at which the process can be made to die, all along the way of a commit and of a trim.
const POINTS: [(&str, u64); 14] = [
    ("open.engine", 1),
    ("open.versioned", 1),
    ("open.bucket_deleted", 1),
    ("commit.begun", 100),
    ("commit.reserved", 1),
    ("commit.planned", 100),
    ("commit.bucket_begun", 2),
    ("commit.written", 100),
    ("commit.published", 100),
    ("trim.floor_written", 2),
    ("trim.bucket_deleted", 2),
    ("trim.accounts_begun", 6),
    ("trim.accounts_deleted", 2),
    ("open.accounts_deleted", 1),
];

#[test]
fn whatever_kills_the_process_no_event_is_lost_repeated_or_reordered() {
    let kills = env::var("JETWASH_KILLS").map_or(10, |kills| kills.parse().unwrap());
    let world = World::new(if kills < 50 { 1_500 } else { 6_000 });
    let mut tally = BTreeMap::new();
    let mut random = Random(kills);
    let (mut killed, mut epochs) = (0, 0);
    while killed < kills {
        let mut epoch = Epoch::new(&world);
        while !epoch.round(&mut random, killed < kills) {
            *tally.entry(epoch.last_death).or_insert(0) += 1;
            killed += 1;
        }
        epoch.check();
        epochs += 1;
    }
    println!("{killed} kills in {epochs} runs over the same frames: {tally:?}");
    if kills >= 200 {
        for (point, _) in POINTS {
            assert!(tally.contains_key(point), "{point} was never reached");
        }
    }
}

/// The frames, and what has to come of them.
struct World {
    folder: tempfile::TempDir,
    expected: Vec<String>,
}

impl World {
    fn new(count: usize) -> Self {
        let config = NetworkConfig {
            accounts: 30,
            records: 50,
            rare_per_million: 20_000,
            ..NetworkConfig::default()
        };
        let frames: Vec<SimFrame> = Network::new(config).unwrap().take(count).collect();
        let folder = tempfile::tempdir().unwrap();
        write_frames(&folder.path().join("frames"), &frames);
        Self {
            folder,
            expected: frames.iter().flat_map(expected_of).collect(),
        }
    }

    fn frames(&self) -> PathBuf {
        self.folder.path().join("frames")
    }
}

/// One store, from its making to the last frame, and the client that follows it.
struct Epoch<'a> {
    world: &'a World,
    folder: tempfile::TempDir,
    /// The events that the client received, by position.
    seen: Vec<(u64, String)>,
    /// The client's cursor: it may have got more, and not have noted it down.
    cursor: usize,
    /// The greatest next position that was ever told.
    next_seq: u64,
    last_death: &'static str,
}

impl<'a> Epoch<'a> {
    fn new(world: &'a World) -> Self {
        Self {
            world,
            // In memory where there is such a place: nothing has to survive the machine.
            folder: tempfile::tempdir_in("/dev/shm")
                .unwrap_or_else(|_| tempfile::tempdir().unwrap()),
            seen: Vec::new(),
            cursor: 0,
            next_seq: 1,
            last_death: "",
        }
    }

    /// Runs the process until it dies or has taken in all frames, which is told.
    fn round(&mut self, random: &mut Random, kill: bool) -> bool {
        let mut command = Command::new(env::current_exe().unwrap());
        let name = "kill::child_that_takes_in_frames";
        command
            .args([name, "--exact", "--ignored", "--nocapture"])
            .env("JETWASH_KILL_FOLDER", self.folder.path())
            .env("JETWASH_KILL_FRAMES", self.world.frames())
            .env("JETWASH_KILL_CURSOR", self.cursor.to_string())
            .env("JETWASH_KILL_SEED", random.below(u64::MAX).to_string())
            .stdout(Stdio::piped());
        let mut lines_left = u64::MAX;
        let mut point = None;
        // What it leaves behind is to be found half-done as often as can be.
        let is_half_done = self.last_death == "trim.accounts_begun";
        if kill && (is_half_done || random.below(2) == 0) {
            let (name, passes) = self.choose(random);
            let pass = 1 + random.below(passes);
            command.env("JETWASH_CRASH_POINT", format!("{name}:{pass}"));
            point = Some(name);
        } else if kill {
            lines_left = random.below(self.world.expected.len() as u64 / 10);
        }
        // Some clients note down what they got before the end, others do not.
        let notes_all = random.below(2) == 0;

        let mut child = command.spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let (mut line, mut is_killed) = (String::new(), false);
        loop {
            if lines_left == 0 && !is_killed {
                child.kill().unwrap();
                is_killed = true;
                if !notes_all {
                    break;
                }
            }
            line.clear();
            if output.read_line(&mut line).unwrap() == 0 || !line.ends_with('\n') {
                break;
            }
            lines_left = lines_left.saturating_sub(1);
            self.take(line.trim_end());
        }
        drop(output);
        let status = child.wait().unwrap();
        if status.success() {
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

    /// A place to die at. Some are only come by in a new store, or after another death.
    fn choose(&self, random: &mut Random) -> (&'static str, u64) {
        let special = match self.last_death {
            "trim.floor_written" => Some("open.bucket_deleted"),
            "trim.accounts_begun" => Some("open.accounts_deleted"),
            _ if self.next_seq == 1 => Some("open.versioned"),
            _ => None,
        };
        match special {
            Some(name) if name == "open.accounts_deleted" || random.below(2) == 0 => (name, 1),
            _ => POINTS[random.below(POINTS.len() as u64) as usize],
        }
    }

    fn take(&mut self, line: &str) {
        if let Some(next_seq) = line.strip_prefix("next ") {
            let next_seq = next_seq.parse().unwrap();
            assert!(next_seq > self.seen.len() as u64, "positions went back");
            assert!(next_seq >= self.next_seq, "positions went back");
            self.next_seq = next_seq;
            return;
        }
        let Some(event) = line.strip_prefix("event ") else {
            return;
        };
        let mut parts = event.splitn(3, ' ');
        let seq: usize = parts.next().unwrap().parse().unwrap();
        let time_us: u64 = parts.next().unwrap().parse().unwrap();
        let found = (time_us, parts.next().unwrap().to_owned());
        assert_eq!(seq, self.cursor + 1, "a gap or a repetition");
        assert_eq!(found.1, self.world.expected[seq - 1]);
        match self.seen.get(seq - 1) {
            Some(known) => assert_eq!(*known, found, "a position was given out twice"),
            None => {
                assert!(self.seen.last().is_none_or(|(last, _)| *last < time_us));
                self.seen.push(found);
            }
        }
        self.cursor = seq;
    }

    fn check(self) {
        assert_eq!(self.seen.len(), self.world.expected.len());
        let found = self.seen.iter().map(|(_, found)| found);
        assert!(found.eq(&self.world.expected));
    }
}

/// Whether a process came to the end that it was to come to.
pub(crate) fn was_killed(status: ExitStatus, by_us: bool) -> bool {
    const AT_A_CRASH_POINT: i32 = 86;
    match status.code() {
        Some(code) => code == AT_A_CRASH_POINT,
        None => by_us,
    }
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn child_that_takes_in_frames() {
    let folder = PathBuf::from(env::var_os("JETWASH_KILL_FOLDER").unwrap());
    let number = |name| env::var(name).unwrap().parse::<u64>().unwrap();
    let mut random = Random(number("JETWASH_KILL_SEED"));
    let (appender, store) = store::open(Location::Disk(folder), options(&mut random)).unwrap();
    println!("next {}", appender.next_seq());
    // The states of accounts are a ring of their own, with ends of their own. It is begun in the
    // middle of things if they are kept only once the source repeats itself.
    let mut pipeline = Pipeline::new(appender);
    if random.below(2) == 0 {
        pipeline = pipeline.deduplicate();
    }
    let position = AtomicU64::new(number("JETWASH_KILL_CURSOR") + 1);
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| follow(&store, &position, &is_done));
        let mut now_us = NOW_US;
        let frames = read_frames(Path::new(&env::var_os("JETWASH_KILL_FRAMES").unwrap()));
        let cursor = pipeline.cursor("sim").unwrap_or(0);
        let (mut left, mut commits) = (0, 0);
        let numbered = frames.iter().enumerate();
        for (index, (_, frame)) in numbered.filter(|(_, (seq, _))| *seq > cursor) {
            now_us += 1_000;
            if random.below(500) == 0 {
                // The clock is set back by an hour.
                now_us -= 3_600_000_000;
            }
            pipeline.frame("sim", frame, Micros::new(now_us)).unwrap();
            if random.below(100) == 0 {
                for (_, frame) in &frames[index.saturating_sub(3)..=index] {
                    pipeline.frame("sim", frame, Micros::new(now_us)).unwrap();
                }
            }
            if left > 0 {
                left -= 1;
                continue;
            }
            left = random.below(40);
            pipeline.commit().unwrap();
            commits += 1;
            if commits % 8 == 0 {
                pipeline.trim(Micros::EPOCH).unwrap();
            }
            // The follower is to see all of it, so it is not left behind by more than the ring holds.
            while store.bounds().next_seq.get() - position.load(Ordering::Relaxed) > 500 {
                thread::yield_now();
            }
        }
        pipeline.commit().unwrap();
        is_done.store(true, Ordering::Release);
    });
}

/// Blocks, buckets, buffers and budgets so small that all of them are begun and dropped in no time.
fn options(random: &mut Random) -> Options {
    let durability = match random.below(8) {
        0 => Durability::SyncedBatch,
        1 => Durability::Synced(Duration::from_millis(20)),
        _ => Durability::Buffered,
    };
    Options::default()
        .durability(durability)
        .block_events(32)
        .bucket_events(400)
        .bucket_bytes(60_000)
        .hot_bytes(20_000)
        .cache_bytes(50_000)
        .memtable_bytes(1 << 16)
        .account_bytes(10_000)
        .retention(Retention {
            max_age: None,
            max_bytes: Some(1_000_000),
        })
}

/// The client's other end: writes every event out.
fn follow(store: &Store, position: &AtomicU64, is_done: &AtomicBool) {
    let mut output = BufWriter::new(std::io::stdout());
    loop {
        let finished = is_done.load(Ordering::Acquire);
        let from = position.load(Ordering::Relaxed);
        match store.read(Seq::new(from)).unwrap() {
            Read::Events(run) => {
                let page = run.block().json().unwrap();
                for index in run.indexes() {
                    let meta = run.block().meta(index).unwrap();
                    let line = std::str::from_utf8(page.get(index).unwrap()).unwrap();
                    let (seq, time_us) = (meta.seq, meta.time_us);
                    writeln!(output, "event {seq} {time_us} {}", describe(line)).unwrap();
                }
                output.flush().unwrap();
                position.store(run.next_seq().get(), Ordering::Relaxed);
            }
            Read::AtTip if finished => return,
            Read::AtTip => thread::yield_now(),
            Read::Gap(gap) => panic!("at {from}: {gap}"),
        }
    }
}

#[test]
fn a_trim_that_is_killed_between_two_buckets_is_complete_when_the_log_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let status = Command::new(env::current_exe().unwrap())
        .args([
            "kill::child_that_forgets_everything",
            "--exact",
            "--ignored",
        ])
        .env("JETWASH_KILL_FOLDER", folder.path())
        .env("JETWASH_CRASH_POINT", "trim.bucket_deleted:2")
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(was_killed(status, false), "{status}");
    // Readers were told that all of it is gone, so none of it comes again.
    let location = Location::Disk(folder.path().to_owned());
    let (appender, store) = store::open(location, small_buckets()).unwrap();
    assert_eq!(appender.next_seq(), Seq::new(301));
    let bounds = store.bounds();
    assert_eq!((bounds.oldest_seq, bounds.events()), (Seq::new(301), 0));
    assert_eq!(store.usage().buckets, 0);
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn child_that_forgets_everything() {
    let folder = PathBuf::from(env::var_os("JETWASH_KILL_FOLDER").unwrap());
    let (mut appender, _store) = store::open(Location::Disk(folder), small_buckets()).unwrap();
    for number in 1..=300 {
        let event = store::NewEvent {
            kind: store::EventKind::Identity,
            did: "did:web:a.example",
            collection: "",
            commit: store::CommitPart::WHOLE,
            source: "sim",
            verdict: 0,
            time_us: Micros::new(NOW_US + number),
            json: b"{}",
            compressed: None,
        };
        appender.push(&event).unwrap();
        appender.commit().unwrap();
    }
    let later = Micros::new(2 * NOW_US);
    appender.trim_after(later, Duration::MAX).unwrap();
}

fn small_buckets() -> Options {
    Options::default().block_events(16).bucket_events(32)
}

pub(crate) fn write_frames(path: &Path, frames: &[SimFrame]) {
    let mut file = BufWriter::new(File::create(path).unwrap());
    for frame in frames {
        file.write_all(&frame.seq.to_le_bytes()).unwrap();
        file.write_all(&(frame.bytes.len() as u64).to_le_bytes())
            .unwrap();
        file.write_all(&frame.bytes).unwrap();
    }
    file.flush().unwrap();
}

pub(crate) fn read_frames(path: &Path) -> Vec<(u64, Vec<u8>)> {
    let bytes = fs::read(path).unwrap();
    let mut input = bytes.as_slice();
    let mut frames = Vec::new();
    while !input.is_empty() {
        let mut number = || {
            let mut bytes = [0; 8];
            input.read_exact(&mut bytes).unwrap();
            u64::from_le_bytes(bytes)
        };
        let (seq, length) = (number(), number());
        let (frame, rest) = input.split_at(length as usize);
        frames.push((seq, frame.to_vec()));
        input = rest;
    }
    frames
}

/// Numbers that look random and are the same each time: `SplitMix64`.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit.max(1)
    }
}
