//! A disk that is full, or fails, for a while.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use jetwash_store::{Appender, Cursor, Location, Options, Read, Seq, Store, StoreError, open};

use crate::shim;
use crate::support::{Event, append, folder, push_many, read_all, taken, tiny};

const FOLDER: &str = "JETWASH_FULL_FOLDER";

#[test]
fn a_full_disk_takes_nothing_stored_and_the_commit_can_be_repeated() {
    run("full::child_on_a_full_disk");
}

#[test]
fn a_disk_that_cannot_be_read_is_told_and_nothing_is_lost_by_it() {
    run("full::child_on_a_broken_disk");
}

/// Runs a test in a process that has the library preloaded.
fn run(name: &str) {
    let Some(library) = shim::library() else {
        return;
    };
    let place = folder();
    let disk = place.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let status = Command::new(env::current_exe().unwrap())
        .args(["--exact", name, "--ignored", "--nocapture"])
        .env(FOLDER, place.path())
        .env("JETWASH_SHIM_FOLDER", &disk)
        .env("JETWASH_SHIM_FULL", place.path().join("full"))
        .env("JETWASH_SHIM_BROKEN", place.path().join("broken"))
        .env("LD_PRELOAD", library)
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
}

/// A failing of the disk, which ends when it is dropped.
struct Failure(PathBuf);

impl Failure {
    fn begin(folder: &Path, kind: &str) -> Self {
        let path = folder.join(kind);
        File::create(&path).unwrap();
        Self(path)
    }
}

impl Drop for Failure {
    fn drop(&mut self) {
        fs::remove_file(&self.0).unwrap();
    }
}

fn opened(folder: &Path, options: Options) -> (Appender, Store) {
    open(Location::Disk(folder.join("disk/ring")), options).unwrap()
}

fn is_storage(error: &StoreError) -> bool {
    matches!(error, StoreError::Storage { .. })
}

#[test]
#[ignore = "run by a test above, in a process of its own"]
fn child_on_a_full_disk() {
    let folder = PathBuf::from(env::var_os(FOLDER).unwrap());
    let options = || tiny().hot_bytes(4_000);
    let (mut appender, store) = opened(&folder, options());
    let mut events = append(&mut appender, 300, 7);
    for round in 0..3 {
        let full = Failure::begin(&folder, "full");
        let kept = store.bounds().next_seq;
        let mut pushed = push_many(&mut appender, 5 + round * 20);
        appender.set_cursor("relay", round);
        let error = appender.commit().unwrap_err();
        assert!(is_storage(&error), "{error}");
        assert!(error.to_string().contains("No space left"), "{error}");
        // A cursor that could not be stored is not shown.
        let moved = store.advance_named_cursor("reader", None, Cursor::new(7));
        assert!(moved.is_err() && store.named_cursor("reader").is_none());
        // More may come in meanwhile. Readers continue, at the tip and from the disk.
        pushed.extend(push_many(&mut appender, 3));
        for _ in 0..2 {
            assert!(is_storage(&appender.reopen().unwrap_err()));
            assert!(is_storage(&appender.commit().unwrap_err()));
            assert_eq!(store.bounds().next_seq, kept);
            assert_eq!(read_all(&store, 1), events);
        }
        let held = match store.read(Seq::new(3)).unwrap() {
            Read::Events(run) => run,
            other => panic!("{other:?}"),
        };
        drop(full);
        appender.reopen().unwrap();
        assert_eq!(read_all(&store, 1), events);
        appender.commit().unwrap();
        events.extend(pushed);
        assert_eq!(read_all(&store, 1), events);
        // Who holds a block from before can still read it.
        assert_eq!(taken(held.block(), 2).unwrap(), events[2]);
        events.extend(append(&mut appender, 50, 9));
    }
    drop((appender, store));
    let (appender, store) = opened(&folder, options());
    assert_eq!(read_all(&store, 1), events);
    assert_eq!(appender.cursor("relay"), Some(2));
    assert_eq!(store.bounds().lost, 0);
}

#[test]
#[ignore = "run by a test above, in a process of its own"]
fn child_on_a_broken_disk() {
    let folder = PathBuf::from(env::var_os(FOLDER).unwrap());
    let options = || {
        tiny()
            .block_events(64)
            .bucket_events(10_000)
            .hot_bytes(20_000)
            .cache_bytes(0)
    };
    let (mut appender, store) = opened(&folder, options());
    let mut events: Vec<Event> = Vec::new();
    // The engine reads from its files what it has written out.
    while blobs(&folder.join("disk/ring/keyspaces")) < 2 {
        events.extend(append(&mut appender, 640, 64));
    }
    let broken = Failure::begin(&folder, "broken");
    let read = store.read(Seq::FIRST).and_then(|read| match read {
        Read::Events(run) => taken(run.block(), 0),
        other => panic!("{other:?}"),
    });
    let error = read.unwrap_err();
    assert!(is_storage(&error), "{error}");
    // What is in memory is still there, and writing continues, unless one of the engine's own threads
    // has met the failure too.
    let tip = events.last().unwrap().seq;
    assert!(matches!(
        store.read_hot(Seq::new(tip)),
        Some(Read::Events(_))
    ));
    events.extend(push_many(&mut appender, 10));
    let committed = appender.commit();
    drop(broken);
    if let Err(error) = committed {
        assert!(is_storage(&error), "{error}");
        appender.reopen().unwrap();
        appender.commit().unwrap();
    }
    assert_eq!(read_all(&store, 1), events);
}

/// How many files of blocks there are. All but the one being written are read from.
fn blobs(keyspaces: &Path) -> usize {
    let keyspaces = fs::read_dir(keyspaces).unwrap();
    let blobs = keyspaces.map(|keyspace| fs::read_dir(keyspace.unwrap().path().join("blobs")));
    blobs.flatten().map(Iterator::count).sum()
}
