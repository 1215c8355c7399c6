//! The power fails at any point of what a process writes; what was promised must be there.
//!
//! `JETWASH_POWER_POINTS` says at how many points of each run, 30 if it is not set, and
//! `JETWASH_POWER_TEXT` how long events are: with 20,000 the engine's journal is full once. With
//! `JETWASH_POWER_STRICT` the file system does no more than POSIX says, which is too little for the
//! storage engine: see `docs/store-format.md`.

use std::env;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use jetwash_store::{
    AccountState, Appender, Durability, Location, Micros, Options, PackedRepo, Read, Retention,
    Seq, open,
};

use crate::random::Random;
use crate::restart::restart_machine;
use crate::shim::{self, Disk, Left, Names, Op};
use crate::support::{Event, START, event, folder, push, taken, tiny};

const FOLDER: &str = "JETWASH_POWER_FOLDER";
const MODE: &str = "JETWASH_POWER_MODE";
const ACCOUNT: &str = "did:web:a.example";

#[test]
fn buffered_takes_back_what_was_not_synced_and_no_position() {
    fail_at_many_points("buffered");
}

#[test]
fn synced_keeps_what_was_there_at_the_last_sync() {
    fail_at_many_points("synced");
}

#[test]
fn synced_batch_keeps_every_commit() {
    fail_at_many_points("batch");
}

fn options(mode: &str) -> Options {
    let durability = match mode {
        "buffered" => Durability::Buffered,
        "synced" => Durability::Synced(Duration::from_millis(2)),
        _ => Durability::SyncedBatch,
    };
    let retention = Retention {
        max_age: None,
        max_bytes: Some(1_200 * text_len()),
    };
    let options = tiny().durability(durability).retention(retention);
    let options = options.block_events(16).bucket_events(500);
    options.forget_accounts_after(Duration::from_millis(REMEMBERED))
}

fn text_len() -> u64 {
    env::var("JETWASH_POWER_TEXT").map_or(1_000, |length| length.parse().unwrap())
}

/// An event that does not compress well, so that the engine has something to write out.
fn large(seq: u64, time_us: u64) -> Event {
    let mut event = event(seq, time_us);
    let mut random = Random(seq);
    for _ in 0..text_len() / 16 {
        let text = format!("{:016x}", random.below(u64::MAX));
        event.json.extend_from_slice(text.as_bytes());
    }
    event
}

/// Commits some events with the cursor and the state of an account that belong to them; returns the time of the last.
fn write(appender: &mut Appender, count: u64) -> u64 {
    let mut time_us = Micros::EPOCH;
    for _ in 0..count {
        let seq = appender.next_seq();
        time_us = appender.next_time_us(Micros::new(START + seq.get() * 1_000));
        push(appender, &large(seq.get(), time_us.get()), None);
    }
    appender.set_cursor("relay", appender.next_seq().get() - 1);
    let mut state = AccountState::default();
    state.rev = appender.next_seq().get() - 1;
    state.repo = PackedRepo::new(&state.rev.to_be_bytes());
    appender.set_account(ACCOUNT, &state);
    appender.set_account(&quiet_account(state.rev), &state);
    appender.commit().unwrap();
    time_us.get()
}

/// The account that is heard of only while positions are in one span.
fn quiet_account(seq: u64) -> String {
    format!("did:web:{}.example", seq / SPAN)
}

const SPAN: u64 = 100;
/// An account is remembered for the time of as many events, a millisecond each.
const REMEMBERED: u64 = 400;

fn fail_at_many_points(mode: &str) {
    let Some(ops) = record(mode) else { return };
    let points = env::var("JETWASH_POWER_POINTS").map_or(30, |points| points.parse().unwrap());
    let mut random = Random(points);
    let mut at: Vec<usize> = (0..points)
        .map(|_| random.below(ops.len() as u64) as usize)
        .collect();
    at.sort_unstable();
    let mut disk = Disk::new(match env::var_os("JETWASH_POWER_STRICT") {
        None => Names::WithTheFile,
        Some(_) => Names::WithTheFolder,
    });
    let mut promise = Promise::default();
    let mut at = at.into_iter().peekable();
    for (index, op) in ops.iter().enumerate() {
        disk.apply(op);
        promise.note(op, mode);
        while at.next_if(|at| *at == index).is_some() {
            promise.look_ahead(&ops[index + 1..]);
            let left = [Left::All, Left::None, Left::Some, Left::Some][random.below(4) as usize];
            let image = folder();
            disk.fail(left, &mut random, image.path());
            let ring = image.path().join("ring");
            if ring.join("reserved").exists() {
                restart_machine(&ring);
            }
            let context = format!(
                "{mode}, {left:?} left after operation {index} of {}",
                ops.len()
            );
            promise.check(mode, &ring, &context);
        }
    }
    println!(
        "{mode}: {points} power failures in {} operations",
        ops.len()
    );
}

fn record(mode: &str) -> Option<Vec<Op>> {
    let library = shim::library()?;
    let place = folder();
    let (disk, log) = (place.path().join("disk"), place.path().join("log"));
    std::fs::create_dir(&disk).unwrap();
    let status = Command::new(env::current_exe().unwrap())
        .args(["--exact", "power::child_that_writes", "--ignored"])
        .env(FOLDER, &disk)
        .env(MODE, mode)
        .env("JETWASH_SHIM_FOLDER", &disk)
        .env("JETWASH_SHIM_LOG", &log)
        .env("LD_PRELOAD", library)
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
    let ops = shim::read_log(&log);
    // Nothing has gone past the library.
    let has_renames = ops
        .iter()
        .any(|op| matches!(op, Op::Rename { to, .. } if to.ends_with("current")));
    let has_blobs = ops
        .iter()
        .any(|op| matches!(op, Op::Create { path, .. } if path.contains("blobs")));
    let has_removals = ops
        .iter()
        .any(|op| matches!(op, Op::Remove { path } if path.contains("keyspaces")));
    assert!(
        has_renames && has_blobs && has_removals,
        "the record is not whole"
    );
    Some(ops)
}

#[test]
#[ignore = "run by the tests above, in a process of its own"]
fn child_that_writes() {
    let folder = PathBuf::from(env::var_os(FOLDER).unwrap());
    let mode = env::var(MODE).unwrap();
    let mut marks = File::create(folder.join("marks")).unwrap();
    let mut mark = |text: String| marks.write_all(text.as_bytes()).unwrap();
    let location = || Location::Disk(folder.join("ring"));
    let mut random = Random(1);
    let (mut appender, mut store) = open(location(), options(&mode)).unwrap();
    for round in 0..400 {
        let time_us = write(&mut appender, 1 + random.below(14));
        mark(format!("commit {} {time_us}", appender.next_seq()));
        if random.below(20) == 0 {
            mark("trim".to_owned());
            let oldest = appender.trim(Micros::EPOCH).unwrap().oldest_seq;
            mark(format!("trimmed {oldest}"));
        }
        if mode == "buffered" && random.below(30) == 0 {
            appender.sync().unwrap();
        }
        if round == 250 {
            drop((appender, store));
            (appender, store) = open(location(), options(&mode)).unwrap();
        }
    }
    assert!(
        store.usage().account_entries_dropped > 0,
        "no account was forgotten"
    );
    drop(store);
    // No farewell: the last part of the record is that of a process at work.
    std::process::exit(0);
}

/// Checks what must hold at a point of the record.
#[derive(Default)]
struct Promise {
    marks: Option<u64>,
    /// The next position, and the time of the last event, as readers may have seen them.
    seen: (u64, u64),
    /// The next position of what must survive.
    safe: u64,
    /// Up to where a trim may have dropped events.
    trimmed: u64,
    is_trimming: bool,
}

impl Promise {
    fn note(&mut self, op: &Op, mode: &str) {
        match op {
            Op::Create { inode, path } if path == "marks" => self.marks = Some(*inode),
            Op::Write { inode, bytes, .. } if self.marks == Some(*inode) => {
                self.note_mark(std::str::from_utf8(bytes).unwrap(), mode);
            }
            // Whatever was committed by then has been written before.
            Op::Sync { path, .. } if path.ends_with(".jnl") => self.safe = self.seen.0,
            _ => {}
        }
    }

    fn note_mark(&mut self, text: &str, mode: &str) {
        let words: Vec<&str> = text.split(' ').collect();
        match words[..] {
            ["commit", next, time] => {
                self.seen = (next.parse().unwrap(), time.parse().unwrap());
                if mode == "batch" {
                    self.safe = self.seen.0;
                }
            }
            ["trim"] => self.is_trimming = true,
            ["trimmed", oldest] => {
                self.trimmed = oldest.parse().unwrap();
                self.is_trimming = false;
            }
            _ => panic!("{text} is no mark"),
        }
    }

    /// A trim that was cut short may have got as far as it wanted to.
    fn look_ahead(&mut self, ops: &[Op]) {
        if !self.is_trimming {
            return;
        }
        let target = ops.iter().find_map(|op| match op {
            Op::Write { inode, bytes, .. } if self.marks == Some(*inode) => {
                let text = std::str::from_utf8(bytes).unwrap();
                text.strip_prefix("trimmed ")?.parse().ok()
            }
            _ => None,
        });
        self.trimmed = target.unwrap();
    }

    fn check(&self, mode: &str, ring: &Path, context: &str) {
        let location = || Location::Disk(ring.to_owned());
        let (mut appender, store) = match open(location(), options(mode)) {
            Ok(opened) => opened,
            Err(error) => panic!("{context}: {error}"),
        };
        let bounds = store.bounds();
        let is_empty = bounds.events() == 0;
        let tip = if is_empty {
            1
        } else {
            bounds.next_seq.get() - bounds.lost
        };
        let safe = self.safe;
        assert!(tip >= safe, "{context}: {bounds:?}, {safe} was safe");
        let is_kept = bounds.oldest_seq <= Seq::new(self.trimmed.max(1));
        assert!(is_kept || is_empty, "{context}: {bounds:?}");
        let (next, time) = self.seen;
        assert!(
            appender.next_seq() >= Seq::new(next),
            "{context}: a position twice"
        );
        assert!(
            appender.next_time_us(Micros::EPOCH) > Micros::new(time),
            "{context}: a time twice"
        );
        let cursor = appender.cursor("relay").unwrap_or(0);
        assert_eq!(cursor, tip - 1, "{context}: {bounds:?}");
        let account = appender.account(ACCOUNT).unwrap();
        let rev = account.as_ref().map_or(0, |state| state.rev);
        assert_eq!(rev, cursor, "{context}: {bounds:?}");
        let repo = account.and_then(|state| state.repo);
        let expected = PackedRepo::new(&cursor.to_be_bytes()).filter(|_| cursor > 0);
        assert_eq!(repo, expected, "{context}: {bounds:?}");
        // Of an account that is no longer heard of, all is known or nothing, and nothing too soon.
        for span in (0..=cursor / SPAN).map(|span| span * SPAN) {
            let state = appender.account(&quiet_account(span)).unwrap();
            if let Some(state) = &state {
                let is_true = (span..span + SPAN).contains(&state.rev) && state.rev <= cursor;
                assert!(is_true, "{context}: {state:?} at {span}, {bounds:?}");
                assert_eq!(state.repo, PackedRepo::new(&state.rev.to_be_bytes()));
            }
            // A commit has up to 14 events, so the span has at least one unless it is the newest.
            let is_young = span + SPAN <= cursor && cursor - span < REMEMBERED;
            assert!(
                state.is_some() || !is_young,
                "{context}: none at {span}, {bounds:?}"
            );
        }
        let mut expected: Vec<u64> =
            (bounds.oldest_seq.get()..tip.max(bounds.oldest_seq.get())).collect();
        assert_eq!(
            read(&store, bounds.oldest_seq.get(), context),
            expected,
            "{context}"
        );

        for _ in 0..6 {
            expected.extend((0..7).map(|n| appender.next_seq().plus(n).get()));
            write(&mut appender, 7);
        }
        drop((appender, store));
        let (_appender, store) = open(location(), options(mode)).unwrap();
        assert_eq!(
            read(&store, bounds.oldest_seq.get(), context),
            expected,
            "{context}"
        );
    }
}

/// The positions of all events, each of which is what it should be.
fn read(store: &jetwash_store::Store, from: u64, context: &str) -> Vec<u64> {
    let (mut position, mut positions) = (from, Vec::new());
    loop {
        match store.read(Seq::new(position)) {
            Ok(Read::Events(run)) => {
                for index in run.indexes() {
                    let found = taken(run.block(), index).unwrap();
                    assert!(found == large(found.seq, found.time_us), "{context}");
                    positions.push(found.seq);
                }
                position = run.next_seq().get();
            }
            Ok(Read::AtTip) => return positions,
            Ok(Read::Gap(gap)) => position = gap.next_seq.get(),
            Err(error) => panic!("{context}: {error}"),
        }
    }
}
