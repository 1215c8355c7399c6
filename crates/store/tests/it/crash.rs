use std::env;
use std::path::PathBuf;
use std::process::Command;

use jetwash_store::{Location, Options, Seq, open};

use crate::support::{Event, Place, append, event, push_many, read_all, tiny};

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
