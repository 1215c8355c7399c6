//! A copy of a ring is of one moment, and its making changes nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use jetwash_store::{Cursor, LetterLimits, OpenError, StoreCopy};

use crate::dead_letters::put;
use crate::journal::{EVENTS, RELAY, options, positions, write};
use crate::support::{Place, append, dictionary, event, folder, push};

/// All files below a folder, with their times and bytes.
fn contents(folder: &Path) -> BTreeMap<PathBuf, (SystemTime, Vec<u8>)> {
    let (mut files, mut folders) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let (path, metadata) = entry.map(|it| (it.path(), it.metadata().unwrap())).unwrap();
            match metadata.is_dir() {
                true => folders.push(path),
                false => {
                    let bytes = fs::read(&path).unwrap();
                    files.insert(path, (metadata.modified().unwrap(), bytes));
                }
            }
        }
    }
    files
}

#[test]
fn a_copy_of_a_closed_ring_has_all_of_it_and_leaves_it_as_it_is() {
    let place = Place::disk();
    let (mut appender, store) = place.open(options());
    let dictionary = dictionary(7);
    appender.set_dictionary(&dictionary).unwrap();
    write(&mut appender, Some(&dictionary));
    let to = Cursor::new(77);
    store.advance_named_cursor("feed", None, to).unwrap();
    for consumer in ["feed", "a", "feeds"] {
        let letters = store.dead_letters(consumer);
        put(&letters, &store, 5, LetterLimits::default()).unwrap();
    }
    let (id, bounds) = (store.log_id(), store.bounds());
    drop((appender, store));

    let (before, work) = (contents(place.path()), folder());
    let copy = StoreCopy::open(place.path(), work.path()).unwrap();
    let store = copy.store();
    assert_eq!((store.log_id(), copy.format()), (id, 5));
    assert_eq!(store.bounds().next_seq, bounds.next_seq);
    assert_eq!(positions(store).len() as u64, bounds.events());
    assert_eq!(store.named_cursors(), [("feed".to_owned(), to)]);
    let consumers = store.dead_letter_consumers().unwrap();
    assert_eq!(consumers, ["a", "feed", "feeds"]);
    let relay = 1_000 + bounds.next_seq.previous().get();
    assert_eq!(copy.cursors().collect::<Vec<_>>(), [(RELAY, relay)]);
    assert!(copy.file_bytes().unwrap() > 0);
    drop(copy);
    assert!(contents(place.path()) == before);
    assert_eq!(fs::read_dir(work.path()).unwrap().count(), 0);
}

struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_copy_that_is_made_while_events_are_written_is_of_one_moment() {
    let place = Place::disk();
    let (mut appender, store) = place.open(options().bucket_events(20_000));
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                append(&mut appender, 50, 7);
            }
        });
        // Also when an assertion fails, or the writer would never end.
        let _over = Over(&is_over);
        for _ in 0..20 {
            let (next, work) = (store.bounds().next_seq, folder());
            let copy = StoreCopy::open(place.path(), work.path()).unwrap();
            let copied = copy.store().bounds();
            assert!(
                copied.next_seq >= next,
                "{copied:?} lacks events before {next}"
            );
            let expected: Vec<u64> = (1..copied.next_seq.get()).collect();
            assert!(positions(copy.store()) == expected, "{copied:?}");
        }
    });
    // It can be written as before.
    let made = event(1, appender.next_time_us(jetwash_store::Micros::EPOCH).get());
    push(&mut appender, &made, None);
    appender.commit().unwrap();
}

#[test]
fn damage_is_found_in_the_copy_and_named() {
    let place = Place::disk();
    let (mut appender, store) = place.open(options());
    write(&mut appender, None);
    drop((appender, store));
    let work = folder();
    let copy = StoreCopy::open(place.path(), work.path()).unwrap();
    let mut read = 0;
    assert_eq!(copy.check(|bytes| read += bytes).unwrap(), []);
    assert!(read > EVENTS, "{read}");
    drop(copy);

    let files = contents(place.path());
    let is_values = |path: &&PathBuf| path.parent().unwrap().ends_with("blobs");
    let values = files.keys().find(is_values).unwrap();
    let mut bytes = files[values].1.clone();
    bytes[100] ^= 1;
    fs::write(values, bytes).unwrap();
    let copy = StoreCopy::open(place.path(), work.path()).unwrap();
    let faults = copy.check(|_| {}).unwrap();
    let names: Vec<_> = faults.iter().map(|it| (&*it.file, it.is_missing)).collect();
    let name = values.strip_prefix(place.path()).unwrap();
    assert_eq!(names, [(name, false)]);
    drop(copy);

    let is_table = |path: &&PathBuf| path.parent().unwrap().ends_with("tables");
    let table = files.keys().find(is_table).unwrap();
    fs::remove_file(table).unwrap();
    match StoreCopy::open(place.path(), work.path()) {
        Err(OpenError::Missing { path, files }) => {
            assert_eq!(path, place.path());
            assert_eq!(files, [table.strip_prefix(place.path()).unwrap()]);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_folder_without_a_ring_is_refused_and_stays_empty() {
    let (empty, work) = (folder(), folder());
    let error = StoreCopy::open(empty.path(), work.path()).unwrap_err();
    assert!(
        error.to_string().contains("there is no event log in it"),
        "{error}"
    );
    assert_eq!(fs::read_dir(empty.path()).unwrap().count(), 0);
}
