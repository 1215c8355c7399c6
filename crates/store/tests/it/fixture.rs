//! A ring that an earlier version has written must open, and hold what was put into it.
//!
//! Each folder of `tests/fixtures` was made by the test that is ignored here:
//!
//! ```text
//! cargo test -p jetwash-store --test it -- --ignored make_the_recorded_ring
//! ```
//!
//! It is made once for each released format, and never again. All of it is made up: the events are
//! those of the other tests.

use std::fs;
use std::path::{Path, PathBuf};

use jetwash_dict::Dictionary;
use jetwash_store::{
    Appender, Cursor, EventKind, FrameStart, Frames, Location, Micros, Options, Seq, Store, open,
};

use crate::support::{Event, START, append, compress, decompress, event, push, read_all};

const EVENTS: u64 = 90;
const RELAY: &str = "wss://relay.example/";

fn recorded(format: u32) -> PathBuf {
    let folder = format!("tests/fixtures/v{format}");
    Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)
}

fn options() -> Options {
    Options::default()
        .block_events(16)
        .bucket_events(32)
        .keep_frames(1 << 20)
}

/// The events in a ring of that format: the first 40 uncompressed, then some compressed with a
/// dictionary. Before format 4 they had no verdict, and before format 5 none was a sync.
fn events(format: u32) -> Vec<Event> {
    let made = |seq| {
        let mut made = event(seq, START + seq * 1_000);
        if format < 4 {
            made.verdict = 0;
        }
        // Labels came after the last of these rings was made.
        let is_later = made.kind == EventKind::Sync && format < 5;
        if is_later || made.kind == EventKind::Label {
            made.kind = EventKind::Identity;
        }
        made
    };
    (1..=EVENTS).map(made).collect()
}

fn raw_frame(seq: u64) -> Vec<u8> {
    format!("the frame {seq}").into_bytes()
}

fn fill(appender: &mut Appender, store: &Store, dictionary: &Dictionary) {
    for made in events(5) {
        let packed = (made.seq > 40).then(|| compress(dictionary, &made.json));
        if made.seq == 41 {
            appender.set_dictionary(dictionary).unwrap();
        }
        push(appender, &made, packed.as_deref());
        appender.keep_frame(RELAY, 1_000 + made.seq, &raw_frame(1_000 + made.seq));
        appender.set_cursor(RELAY, 1_000 + made.seq);
        if made.seq % 5 == 0 {
            appender.commit().unwrap();
        }
    }
    store
        .advance_named_cursor("feed", None, Cursor::new(77))
        .unwrap();
}

#[test]
fn a_ring_of_format_1_opens_and_holds_what_was_put_into_it() {
    opens_and_holds_what_was_put_into_it(1);
}

#[test]
fn a_ring_of_format_2_opens_and_holds_what_was_put_into_it() {
    opens_and_holds_what_was_put_into_it(2);
}

#[test]
fn a_ring_of_format_3_opens_and_holds_what_was_put_into_it() {
    opens_and_holds_what_was_put_into_it(3);
}

#[test]
fn a_ring_of_format_4_opens_and_holds_what_was_put_into_it() {
    opens_and_holds_what_was_put_into_it(4);
}

#[test]
fn a_ring_of_format_5_opens_and_holds_what_was_put_into_it() {
    opens_and_holds_what_was_put_into_it(5);
}

#[test]
fn a_ring_of_an_earlier_format_goes_on_in_this_one() {
    (1..5).for_each(goes_on_in_this_one);
}

fn goes_on_in_this_one(format: u32) {
    let folder = copy_of(format);
    let open = || open(Location::Disk(folder.path().to_owned()), options()).unwrap();
    let (mut appender, store) = open();
    let mut expected = events(format);
    // Enough that there are full blocks of both.
    expected.extend(append(&mut appender, 100, 5));
    assert_eq!(read_all(&store, 1), expected);
    drop((appender, store));
    let version = {
        let database = fjall::Database::builder(folder.path()).open().unwrap();
        let state = database.keyspace("state", Default::default).unwrap();
        state.get("version").unwrap().unwrap()
    };
    // What cannot read the new blocks must refuse the ring.
    assert_eq!(&*version, 5_u32.to_le_bytes());
    assert_eq!(read_all(&open().1, 1), expected);
}

fn opens_and_holds_what_was_put_into_it(format: u32) {
    let folder = copy_of(format);
    let (appender, store) = open(Location::Disk(folder.path().to_owned()), options()).unwrap();

    assert_eq!(read_all(&store, 1), events(format));
    assert_eq!(appender.cursor(RELAY), Some(1_000 + EVENTS));
    assert_eq!(
        store.named_cursors(),
        [("feed".to_owned(), Cursor::new(77))]
    );
    assert_eq!(store.dictionaries().len(), 1);
    for made in &events(format)[40..] {
        let jetwash_store::Read::Events(run) = store.read(Seq::new(made.seq)).unwrap() else {
            panic!("nothing at {}", made.seq);
        };
        let index = run.indexes().start;
        let dictionary = store
            .dictionary(run.block().dictionary_id().unwrap())
            .unwrap();
        let compressed = run.block().compressed().unwrap().unwrap();
        assert_eq!(
            decompress(&dictionary, compressed.get(index).unwrap()),
            made.json
        );
        assert_eq!(
            store.seq_at_time(Micros::new(made.time_us)).unwrap(),
            Seq::new(made.seq)
        );
    }
    let mut frames = Vec::new();
    let mut reader = store.frames(RELAY, FrameStart::Oldest).unwrap();
    while let Frames::Next(next) = reader.read().unwrap() {
        frames.extend(
            next.into_iter()
                .map(|frame| (frame.seq, frame.bytes.to_vec())),
        );
    }
    let expected = (1_001..=1_000 + EVENTS).map(|seq| (seq, raw_frame(seq)));
    assert!(frames.into_iter().eq(expected));
}

#[test]
#[ignore = "makes the recorded ring, which is done once"]
fn make_the_recorded_ring() {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Disk(folder.path().to_owned());
    let (mut appender, store) = open(location, options()).unwrap();
    fill(&mut appender, &store, &crate::support::dictionary(7));
    // The oldest bucket is to be in a table, and not only in the journal.
    while count(&folder.path().join("keyspaces"), "blobs") == 0 {
        std::thread::yield_now();
    }
    drop((appender, store));
    let target = recorded(5);
    fs::create_dir_all(&target).unwrap();
    assert_eq!(fs::read_dir(&target).unwrap().count(), 0, "it exists");
    copy(folder.path(), &target);
    #[cfg(unix)]
    crate::restart::restart_machine(&target);
}

/// The files in the subfolders of that name.
fn count(folder: &Path, name: &str) -> usize {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    let folders = entries.filter_map(|entry| fs::read_dir(entry.path().join(name)).ok());
    folders.map(Iterator::count).sum()
}

/// A copy of a recorded ring, to be opened.
pub(crate) fn copy_of(format: u32) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy(&recorded(format), folder.path());
    folder
}

/// Copies a folder. Files are cut at the last byte that is not zero, and filled up again, as the
/// engine makes its journals with 64 MiB.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
            continue;
        }
        let mut bytes = fs::read(entry.path()).unwrap();
        if target
            .extension()
            .is_some_and(|extension| extension == "jnl")
        {
            let used = bytes.iter().rposition(|byte| *byte != 0);
            bytes.truncate(used.map_or(0, |last| last + 1));
        }
        fs::write(&target, bytes).unwrap();
    }
}
