//! A file that is gone or damaged is named, and a repair keeps what can be read.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use jetwash_store::{
    Cursor, LetterLimits, Location, OpenError, Read, RepairReport, Seq, open, repair,
};

use crate::dead_letters::put;
use crate::fixture::copy;
use crate::journal::{EVENTS, PER_BLOCK, RELAY, journals, options, positions, write};
use crate::support::{Place, append, dictionary};

/// A ring with full buckets in tables, closed in order.
fn ring() -> Place {
    let place = Place::disk();
    let (mut appender, store) = place.open(options());
    let dictionary = dictionary(7);
    appender.set_dictionary(&dictionary).unwrap();
    store
        .advance_named_cursor("feed", None, Cursor::new(77))
        .unwrap();
    write(&mut appender, Some(&dictionary));
    drop((appender, store));
    place
}

fn copy_of(ring: &Place) -> Place {
    let place = Place::disk();
    copy(ring.path(), place.path());
    place
}

/// All files below a folder, as named in it, in order.
fn all_files(folder: &Path) -> Vec<PathBuf> {
    fn add(folder: &Path, below: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder.join(below))
            .unwrap()
            .map(Result::unwrap)
        {
            let name = below.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                add(folder, &name, files);
            } else {
                files.push(name);
            }
        }
    }
    let mut files = Vec::new();
    add(folder, Path::new(""), &mut files);
    files.sort();
    files
}

fn refused(place: &Place) -> OpenError {
    let before = all_files(place.path());
    let location = Location::Disk(place.path().to_owned());
    let error = open(location, options()).expect_err("it opens without a word");
    assert_eq!(all_files(place.path()), before, "{error}");
    error
}

/// Repairs a ring and gives the report and how many events are lost of it. What is left can be read,
/// it can be written to, no position comes twice, and the relay is asked for what is missing.
fn repaired(place: &Place, context: &str) -> (RepairReport, u64) {
    let report = repair(place.path()).unwrap_or_else(|error| panic!("{context}: {error}"));
    let (mut appender, store) = place.open(options());
    let there = positions(&store);
    assert_eq!(report.events, there.len() as u64, "{context}: {report}");
    let missing: Vec<u64> = (1..=EVENTS).filter(|seq| !there.contains(seq)).collect();
    let is_told = |seq: &u64| {
        report
            .lost
            .iter()
            .any(|gap| (gap.0..gap.1).contains(&Seq::new(*seq)))
    };
    assert!(missing.iter().all(is_told), "{context}: {report}");
    assert!(
        appender.next_seq() > Seq::new(EVENTS),
        "{context}: {report}"
    );
    assert_eq!(report.next_seq, appender.next_seq());
    assert_eq!(store.log_id(), report.log_id);
    if let Some(last) = there.last() {
        let Ok(Read::Events(run)) = store.read(Seq::new(*last)) else {
            panic!("{context}: nothing at {last}");
        };
        assert!(
            run.block().json().is_ok(),
            "{context}: the dictionary is gone"
        );
    }
    assert_eq!(
        store.named_cursor("feed"),
        Some(Cursor::new(77)),
        "{context}"
    );
    // Of bits that rot in an old bucket the relay knows nothing any more.
    let last = there.last().copied().unwrap_or(0);
    let cursor = appender.cursor(RELAY).unwrap_or(0).saturating_sub(1_000);
    assert!(
        cursor <= last,
        "{context}: {last} is there, {cursor} is the cursor"
    );
    let next = appender.next_seq();
    append(&mut appender, 200, 9);
    drop((appender, store));
    let (_appender, store) = place.open(options());
    let mut expected = there;
    expected.extend((0..200).map(|n| next.plus(n).get()));
    assert_eq!(positions(&store), expected, "{context}");
    (report, missing.len() as u64)
}

fn first_in(ring: &Place, folder: &str) -> PathBuf {
    let folder = Path::new(folder);
    let entry = fs::read_dir(ring.path().join(folder)).unwrap().next();
    folder.join(entry.unwrap().unwrap().file_name())
}

#[test]
fn a_file_that_is_gone_is_named_and_what_is_left_is_kept() {
    let ring = ring();
    let journal = journals(ring.path()).pop().unwrap();
    let cases = [
        (
            journal.strip_prefix(ring.path()).unwrap().to_owned(),
            EVENTS,
        ),
        ("keyspaces/0/current".into(), 0),
        ("keyspaces/1/current".into(), 2 * PER_BLOCK),
        ("keyspaces/2/current".into(), 0),
        ("keyspaces/3/current".into(), 0),
        ("version".into(), 0),
        ("reserved".into(), 0),
        (first_in(&ring, "keyspaces/0/tables"), 0),
        (first_in(&ring, "keyspaces/3/tables"), 0),
        (first_in(&ring, "keyspaces/3/blobs"), 1_500),
    ];
    for (file, most) in cases {
        let context = file.display().to_string();
        let place = copy_of(&ring);
        fs::remove_file(place.path().join(&file)).unwrap();
        let error = refused(&place);
        let is_named = matches!(&error, OpenError::Missing { files, .. } if files.contains(&file));
        assert!(is_named, "{context}: {error}");
        assert!(error.to_string().contains("repair"), "{error}");
        let (report, lost) = repaired(&place, &context);
        assert!(report.missing.contains(&file), "{context}: {report}");
        assert!(lost <= most, "{context}: {lost} events lost\n{report}");
        assert_eq!(report.is_new_log, context == "reserved");
    }
}

/// A ring of which the journals hold nothing that is old, as they do after a while.
fn aged() -> (Place, Vec<u64>) {
    let ring = ring();
    for journal in journals(ring.path()) {
        File::options()
            .write(true)
            .open(journal)
            .unwrap()
            .set_len(0)
            .unwrap();
    }
    let (_appender, store) = ring.open(options());
    let there = positions(&store);
    assert!(there.contains(&4_000), "too little was written out");
    (ring, there)
}

#[test]
fn all_files_of_a_bucket_gone_are_named_and_the_others_are_kept() {
    let (ring, there) = aged();
    fs::remove_dir_all(ring.path().join("keyspaces/4")).unwrap();
    let error = refused(&ring);
    assert!(matches!(error, OpenError::Missing { .. }), "{error}");
    let report = repair(ring.path()).unwrap();
    let (_appender, store) = ring.open(options());
    let left = positions(&store);
    assert!(left.len() + 1_000 < there.len(), "{report}");
    let gap = (
        there[left.iter().zip(&there).take_while(|(a, b)| a == b).count()],
        3_000,
    );
    let kept = there
        .into_iter()
        .filter(|seq| *seq < gap.0 || *seq > gap.1 + 100);
    assert!(kept.clone().all(|seq| left.contains(&seq)), "{report}");
    assert!(
        report
            .lost
            .iter()
            .any(|(first, _)| *first == Seq::new(gap.0)),
        "{report}"
    );
}

#[test]
fn a_bucket_without_its_tables_is_read_from_its_files_of_values() {
    let (ring, there) = aged();
    for table in fs::read_dir(ring.path().join("keyspaces/3/tables")).unwrap() {
        fs::remove_file(table.unwrap().path()).unwrap();
    }
    refused(&ring);
    repair(ring.path()).unwrap();
    let (_appender, store) = ring.open(options());
    assert_eq!(positions(&store), there);
}

#[test]
fn one_bit_in_any_small_file_is_named_and_costs_next_to_nothing() {
    let ring = ring();
    let is_small = |file: &PathBuf| {
        let is_engines = file.starts_with("keyspaces");
        is_engines && !file.components().any(|part| part.as_os_str() == "blobs")
    };
    let current = |folder: &Path| {
        let bytes = fs::read(ring.path().join(folder).join("current")).unwrap();
        folder.join(format!(
            "v{}",
            u64::from_le_bytes(bytes[..8].try_into().unwrap())
        ))
    };
    let mut tried = 0;
    for file in all_files(ring.path()).into_iter().filter(is_small) {
        let bytes = fs::read(ring.path().join(&file)).unwrap();
        let folder: PathBuf = file.components().take(2).collect();
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        if name.starts_with('v') && file != current(&folder) {
            continue;
        }
        {
            let at = [0, bytes.len() / 2, bytes.len() - 20][tried % 3];
            let context = format!("{} at {at}", file.display());
            let place = copy_of(&ring);
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            fs::write(place.path().join(&file), changed).unwrap();
            let error = refused(&place);
            let (OpenError::Damaged { files, .. } | OpenError::Missing { files, .. }) = &error
            else {
                panic!("{context}: {error}");
            };
            // Which list of files counts is in a file of its own.
            let is_named =
                |named: &PathBuf| *named == file || name == "current" && named.starts_with(&folder);
            assert!(files.iter().any(is_named), "{context}: {error}");
            let (report, lost) = repaired(&place, &context);
            let is_state = folder.ends_with("1");
            let most = if is_state { 2 * PER_BLOCK } else { 0 };
            assert!(lost <= most, "{context}: {lost} events lost\n{report}");
            assert!(!report.is_new_log);
            assert!(report.set_aside.unwrap().join(&folder).exists());
            tried += 1;
        }
    }
    assert!(tried > 9, "{tried} files");
}

#[test]
fn one_bit_of_the_engines_mark_is_named_and_repaired() {
    let ring = ring();
    let version = fs::read(ring.path().join("version")).unwrap();
    for bit in 0..version.len() * 8 {
        let place = copy_of(&ring);
        let mut changed = version.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        fs::write(place.path().join("version"), changed).unwrap();
        let error = refused(&place);
        let is_named =
            matches!(&error, OpenError::Damaged { files, .. } if *files == [Path::new("version")]);
        assert!(is_named, "bit {bit}: {error}");
        if bit % 11 == 0 {
            let (report, lost) = repaired(&place, "version");
            assert_eq!(lost, 0, "{report}");
            assert!(report.set_aside.unwrap().join("version").exists());
        }
    }
    // That of an engine to come is not taken for damage.
    fs::write(ring.path().join("version"), b"FJL\x04").unwrap();
    assert!(matches!(refused(&ring), OpenError::Format { .. }));
}

/// Nothing else has them, so they cannot be kept, but their loss is told.
#[test]
fn dead_letters_in_a_damaged_table_are_lost_and_that_is_told() {
    let ring = Place::disk();
    let (mut appender, store) = ring.open(options());
    write(&mut appender, None);
    let letters = store.dead_letters("feed");
    for seq in 1..=400 {
        put(&letters, &store, seq, LetterLimits::default()).unwrap();
    }
    // The journals continue to the next, and the letters are written out.
    for _ in 0..40 {
        append(&mut appender, 200, 9);
    }
    drop((appender, store, letters));
    let table = first_in(&ring, "keyspaces/2/tables");
    let mut bytes = fs::read(ring.path().join(&table)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(ring.path().join(&table), bytes).unwrap();
    for journal in journals(ring.path()) {
        File::options()
            .write(true)
            .open(journal)
            .unwrap()
            .set_len(0)
            .unwrap();
    }
    refused(&ring);
    let report = repair(ring.path()).unwrap();
    let (_appender, store) = ring.open(options());
    let left = store.dead_letters("feed").held().unwrap().letters;
    assert!(left < 400, "nothing was lost");
    assert_eq!(report.letters_left, Some(left), "{report}");
    assert_eq!(report.accounts_left, None, "{report}");
    assert!(report.damaged.contains(&table), "{report}");
    let said = report.to_string();
    assert!(said.contains("lost: dead letters"), "{said}");
}

#[test]
fn one_bit_in_a_file_of_values_costs_a_block() {
    let (ring, there) = aged();
    let file = first_in(&ring, "keyspaces/3/blobs");
    let bytes = fs::read(ring.path().join(&file)).unwrap();
    for part in 1..=12 {
        let place = copy_of(&ring);
        let at = bytes.len() - 1 - (12 - part) * bytes.len() / 24;
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        fs::write(place.path().join(&file), changed).unwrap();
        let location = Location::Disk(place.path().to_owned());
        if let Err(error) = open(location, options()) {
            let is_named =
                matches!(&error, OpenError::Damaged { files, .. } if *files == [file.clone()]);
            assert!(is_named, "bit {at}: {error}");
        }
        let report = repair(place.path()).unwrap();
        assert_eq!(report.damaged, std::slice::from_ref(&file), "bit {at}");
        let most = there.len() as u64;
        assert!(report.events + 2 * PER_BLOCK >= most, "bit {at}: {report}");
    }
}

#[test]
fn an_emptied_journal_costs_no_position_twice_and_is_told() {
    let ring = ring();
    for journal in journals(ring.path()) {
        File::options()
            .write(true)
            .open(journal)
            .unwrap()
            .set_len(0)
            .unwrap();
    }
    let (appender, store) = ring.open(options());
    assert!(appender.next_seq() > Seq::new(EVENTS));
    let there = positions(&store);
    let last = there.last().copied().unwrap_or(0);
    if last < EVENTS {
        assert!(store.bounds().lost > 0);
    }
    let cursor = appender.cursor(RELAY).unwrap_or(1_000) - 1_000;
    assert!(cursor <= last, "{last} is there, {cursor} is the cursor");
}

#[test]
fn a_sound_ring_is_left_as_it_is_by_a_repair() {
    let ring = ring();
    let report = repair(ring.path()).unwrap();
    assert!(report.is_sound(), "{report}");
    assert_eq!(
        (report.events, report.next_seq),
        (EVENTS + 6, Seq::new(EVENTS + 7))
    );
}

#[test]
fn a_folder_without_a_ring_is_not_made_one_by_a_repair() {
    let place = Place::disk();
    assert!(matches!(
        repair(place.path()),
        Err(OpenError::Folder { .. })
    ));
    assert!(matches!(
        repair(&place.path().join("nowhere")),
        Err(OpenError::Folder { .. })
    ));
}
