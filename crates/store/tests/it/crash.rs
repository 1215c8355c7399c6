use std::env;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use jetwash_store::{AccountState, Location, Micros, Options, PackedRepo, Retention, Seq, open};

use crate::random::Random;
use crate::support::{Event, Place, START, append, event, push, push_many, read_all, tiny};

/// Where the process that crashes keeps its ring.
const FOLDER: &str = "JETWASH_STORE_CRASH";

fn options() -> Options {
    tiny().block_events(16)
}

#[test]
fn a_crash_loses_only_what_was_not_committed() {
    let place = Place::disk();
    let status = Command::new(env::current_exe().unwrap())
        .args([
            "--exact",
            "crash::child_that_crashes",
            "--ignored",
            "--nocapture",
        ])
        .env(FOLDER, place.path())
        .status()
        .unwrap();
    assert!(!status.success(), "the child should have crashed");

    let (mut appender, store) = place.open(options());
    let events = read_all(&store, 1);
    assert_eq!(events.len(), 3_003);
    let expected: Vec<Event> = events
        .iter()
        .map(|found| event(found.seq, found.time_us))
        .collect();
    assert_eq!(events, expected);
    assert_eq!(appender.cursor("wss://relay.example"), Some(3_003));
    assert_eq!(appender.next_seq(), Seq::new(3_004));
    append(&mut appender, 50, 7);
    assert_eq!(read_all(&store, 1).len(), 3_053);
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn child_that_crashes() {
    let folder = PathBuf::from(env::var_os(FOLDER).unwrap());
    let (mut appender, _store) = open(Location::Disk(folder), options()).unwrap();
    append(&mut appender, 3_000, 11);
    push_many(&mut appender, 3);
    appender.set_cursor("wss://relay.example", 3_003);
    appender.commit().unwrap();
    push_many(&mut appender, 40);
    appender.set_cursor("wss://relay.example", 3_043);
    std::process::abort();
}

#[test]
fn dropping_the_appender_loses_only_what_was_not_committed() {
    let place = Place::disk();
    let (mut appender, store) = place.open(options());
    let events = append(&mut appender, 100, 9);
    push_many(&mut appender, 30);
    drop((appender, store));
    let (_appender, store) = place.open(options());
    assert_eq!(read_all(&store, 1), events);
}

/// An account is remembered for the time of as many events, a millisecond each.
const REMEMBERED: u64 = 40;
/// The account of a span is heard of only while positions are in it.
const SPAN: u64 = 10;

fn forgetting() -> Options {
    // Accounts stay as long as the events at least.
    let retention = Retention {
        max_age: None,
        max_bytes: None,
    };
    let options = options().retention(retention);
    options.forget_accounts_after(Duration::from_millis(REMEMBERED))
}

fn account(seq: u64) -> String {
    format!("did:web:{}.example", seq / SPAN)
}

#[test]
fn a_kill_while_accounts_are_forgotten_leaves_none_ahead_and_none_half_forgotten() {
    let place = Place::disk();
    let mut random = Random(7);
    let mut has_forgotten = false;
    for kill in 0..20 {
        let mut child = Command::new(env::current_exe().unwrap())
            .args([
                "--exact",
                "crash::child_that_forgets",
                "--ignored",
                "--nocapture",
            ])
            .env(FOLDER, place.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // A trim comes after every fourth line, and every tenth of them forgets something.
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let told = lines.map(Result::unwrap);
        let committed = |line: String| line.strip_prefix("committed ")?.parse::<u64>().ok();
        let last = told
            .filter_map(committed)
            .take(20 + random.below(60) as usize)
            .last();
        child.kill().unwrap();
        child.wait().unwrap();

        let (mut appender, store) = place.open(forgetting());
        let tip = store.bounds().next_seq.get() - 1;
        assert!(tip >= last.unwrap(), "kill {kill}: {tip} after {last:?}");
        for span in (0..=tip / SPAN).map(|span| span * SPAN) {
            let state = appender.account(&account(span)).unwrap();
            // Each position of the span was committed by itself.
            let newest = (span + SPAN - 1).min(tip);
            match &state {
                Some(state) => {
                    assert_eq!(state.rev, newest, "kill {kill}");
                    let repo = PackedRepo::new(&newest.to_be_bytes());
                    assert_eq!(state.repo, repo, "kill {kill}");
                }
                None if span == 0 && tip < 1 => {}
                None => {
                    assert!(tip - newest >= REMEMBERED, "kill {kill}: {span} of {tip}");
                    has_forgotten = true;
                }
            }
        }
    }
    assert!(has_forgotten);
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn child_that_forgets() {
    let folder = PathBuf::from(env::var_os(FOLDER).unwrap());
    let (mut appender, _store) = open(Location::Disk(folder), forgetting()).unwrap();
    // More than anybody waits for.
    for _ in 0..100_000 {
        let seq = appender.next_seq().get();
        let time_us = appender.next_time_us(Micros::new(START + seq * 1_000));
        push(&mut appender, &event(seq, time_us.get()), None);
        let mut state = AccountState::default();
        state.rev = seq;
        state.repo = PackedRepo::new(&seq.to_be_bytes());
        appender.set_account(&account(seq), &state);
        appender.commit().unwrap();
        println!("committed {seq}");
        if seq.is_multiple_of(4) {
            appender.trim(Micros::EPOCH).unwrap();
        }
    }
}
