use std::fs;
use std::path::{Path, PathBuf};

use jetwash_store::{
    Durability, GapCause, Location, OpenError, Options, Read, Seq, Store, StoreError, open,
};

use crate::support::{Event, Place, append, read_all, taken, tiny};

#[test]
fn a_store_that_is_open_is_refused() {
    let place = Place::disk();
    let (_appender, _store) = place.open(tiny());
    let error = open(Location::Disk(place.path().to_owned()), tiny()).unwrap_err();
    assert!(
        matches!(&error, OpenError::InUse { path } if path == place.path()),
        "{error}"
    );
}

#[test]
fn a_store_that_is_being_closed_is_waited_for() {
    let place = Place::disk();
    let mut opened = place.open(tiny());
    for _ in 0..10 {
        append(&mut opened.0, 100, 7);
        let closing = std::thread::spawn(move || drop(opened));
        opened = place.open(tiny());
        closing.join().unwrap();
    }
}

#[test]
fn a_block_in_hand_does_not_keep_the_store_open() {
    let place = Place::disk();
    let (mut appender, store) = place.open(tiny());
    let events = append(&mut appender, 200, 7);
    let Ok(Read::Events(run)) = store.read(Seq::FIRST) else {
        panic!("nothing to read")
    };
    drop((appender, store));
    let (_appender, store) = place.open(tiny());
    assert_eq!(read_all(&store, 1), events);
    // What was not read before cannot be read any more; what it is about was.
    assert_eq!(run.block().meta(0).unwrap().did, events[0].did);
    let error = run.block().json().unwrap_err();
    assert!(
        matches!(&error, StoreError::Storage { source, .. } if source.to_string().contains("closed")),
        "{error:?}"
    );
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let place = Place::disk();
    let file = place.path().join("file");
    fs::write(&file, "").unwrap();
    let path = file.join("ring");
    let error = open(Location::Disk(path.clone()), tiny()).unwrap_err();
    assert!(
        matches!(&error, OpenError::Folder { path: named, .. } if *named == path),
        "{error}"
    );
    assert!(error.to_string().contains("ring"));
}

#[test]
fn a_newer_format_is_refused() {
    let place = Place::disk();
    drop(place.open(tiny()));
    {
        let database = fjall::Database::builder(place.path()).open().unwrap();
        let state = database.keyspace("state", Default::default).unwrap();
        assert_eq!(
            &*state.get("version").unwrap().unwrap(),
            5_u32.to_le_bytes()
        );
        state.insert("version", 7_u32.to_le_bytes()).unwrap();
    }
    let error = open(Location::Disk(place.path().to_owned()), tiny()).unwrap_err();
    let matched = matches!(&error, OpenError::Format { found, supported: 6, .. } if found == "7");
    assert!(matched, "{error}");
}

#[test]
fn the_version_of_a_mirror_without_its_log_is_refused() {
    let place = Place::disk();
    drop(place.open(tiny()));
    {
        let database = fjall::Database::builder(place.path()).open().unwrap();
        let state = database.keyspace("state", Default::default).unwrap();
        state.insert("version", 6_u32.to_le_bytes()).unwrap();
    }
    let error = open(Location::Disk(place.path().to_owned()), tiny()).unwrap_err();
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
}

#[test]
fn the_database_of_something_else_is_refused() {
    let place = Place::disk();
    {
        let database = fjall::Database::builder(place.path()).open().unwrap();
        let other = database.keyspace("accounts", Default::default).unwrap();
        other.insert("alice", "1").unwrap();
    }
    let error = open(Location::Disk(place.path().to_owned()), tiny()).unwrap_err();
    assert!(
        matches!(&error, OpenError::Format { found, .. } if found.contains("accounts")),
        "{error}"
    );
}

#[test]
fn options_out_of_range_are_refused() {
    for (option, options) in [
        ("block_events", tiny().block_events(0)),
        ("block_events", tiny().block_events(1 << 20)),
        ("block_bytes", tiny().block_bytes(0)),
        ("bucket_events", tiny().bucket_events(0)),
        ("memtable_bytes", tiny().memtable_bytes(1)),
    ] {
        let error = open(Location::Memory, options).unwrap_err();
        assert!(matches!(&error, OpenError::Option { option: named, .. } if *named == option));
    }
}

#[test]
fn every_durability_commits() {
    let minute = std::time::Duration::from_secs(60);
    for durability in [
        Durability::Buffered,
        Durability::Synced(minute),
        Durability::Synced(std::time::Duration::ZERO),
        Durability::SyncedBatch,
    ] {
        let place = Place::disk();
        let (mut appender, store) = place.open(tiny().durability(durability));
        let events = append(&mut appender, 20, 5);
        appender.sync().unwrap();
        assert_eq!(read_all(&store, 1), events);
    }
}

#[test]
fn a_damaged_block_is_a_gap_that_is_told() {
    let place = Place::disk();
    let options = || {
        Options::default()
            .block_events(64)
            .memtable_bytes(1 << 16)
            .hot_bytes(1)
    };
    let (mut appender, store) = place.open(options());
    let mut events = Vec::new();
    // The engine writes its files in the background.
    while blobs(place.path()).len() < 3 {
        assert!(events.len() < 1_000_000, "nothing was ever written out");
        events.extend(append(&mut appender, 64, 64));
    }
    drop((appender, store));

    let damaged = blobs(place.path()).swap_remove(1);
    let mut bytes = fs::read(&damaged).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(&damaged, bytes).unwrap();

    let (_appender, store) = place.open(options());
    let (read, gaps) = read_around_damage(&store);
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    let (first, next) = gaps[0];
    assert!(first % 64 == 1 && next - first == 64, "{gaps:?}");
    let whole: Vec<_> = events
        .into_iter()
        .filter(|event| event.seq < first || event.seq >= next)
        .collect();
    assert_eq!(read, whole);
}

/// Opens a ring of which something was changed behind its back.
fn tamper(
    place: &Place,
    change: impl FnOnce(&fjall::Database),
) -> (jetwash_store::Appender, Store) {
    change(&fjall::Database::builder(place.path()).open().unwrap());
    place.open(tiny().bucket_events(1_000))
}

/// A ring with blocks of 8 events, 1 to 96, and a tail of three pieces, 97 to 102.
fn sound(place: &Place) -> Vec<Event> {
    let (mut appender, _store) = place.open(tiny().bucket_events(1_000));
    let mut events = append(&mut appender, 96, 8);
    events.extend(append(&mut appender, 6, 2));
    events
}

fn bucket(database: &fjall::Database) -> fjall::Keyspace {
    database
        .keyspace("bucket-00000000000000000001", Default::default)
        .unwrap()
}

/// The key of a part, 0 the index and 1 the payload, of the block that begins at a position.
fn block_key(bucket: &fjall::Keyspace, first_seq: u64, part: u8) -> Vec<u8> {
    let mut keys = bucket
        .prefix(first_seq.to_be_bytes())
        .map(|guard| guard.key().unwrap());
    keys.find(|key| key.last() == Some(&part)).unwrap().to_vec()
}

/// The ring continues, and its readers get all but the gap.
fn goes_on(ring: (jetwash_store::Appender, Store), mut events: Vec<Event>, gap: (u64, u64)) {
    let (mut appender, store) = ring;
    assert_eq!(appender.next_seq(), Seq::new(103));
    events.retain(|event| event.seq < gap.0 || event.seq >= gap.1);
    assert_eq!(read_around_damage(&store), (events.clone(), vec![gap]));
    events.extend(append(&mut appender, 100, 9));
    assert_eq!(read_around_damage(&store), (events, vec![gap]));
}

#[test]
fn a_changed_index_is_a_gap() {
    let place = Place::disk();
    let events = sound(&place);
    let ring = tamper(&place, |database| {
        let bucket = bucket(database);
        bucket.insert(block_key(&bucket, 41, 0), "changed").unwrap();
    });
    goes_on(ring, events, (41, 49));
}

#[test]
fn a_changed_payload_is_a_gap() {
    let place = Place::disk();
    let events = sound(&place);
    let ring = tamper(&place, |database| {
        let bucket = bucket(database);
        let key = block_key(&bucket, 41, 1);
        let mut payload = bucket.get(&key).unwrap().unwrap().to_vec();
        payload[20] ^= 1;
        bucket.insert(key, payload).unwrap();
    });
    goes_on(ring, events, (41, 49));
}

#[test]
fn a_whole_block_in_the_place_of_another_is_a_gap() {
    let place = Place::disk();
    let events = sound(&place);
    let ring = tamper(&place, |database| {
        let bucket = bucket(database);
        for part in [0, 1] {
            let earlier = bucket.get(block_key(&bucket, 33, part)).unwrap();
            let key = block_key(&bucket, 41, part);
            bucket.insert(key, earlier.unwrap()).unwrap();
        }
    });
    goes_on(ring, events, (41, 49));
}

#[test]
fn a_missing_block_is_a_gap() {
    let place = Place::disk();
    let events = sound(&place);
    let ring = tamper(&place, |database| {
        let bucket = bucket(database);
        bucket.remove(block_key(&bucket, 41, 0)).unwrap();
    });
    goes_on(ring, events, (41, 49));
}

#[test]
fn the_last_block_changed_is_a_gap() {
    let place = Place::disk();
    let events = sound(&place);
    let ring = tamper(&place, |database| {
        let bucket = bucket(database);
        bucket.insert(block_key(&bucket, 89, 0), "changed").unwrap();
    });
    goes_on(ring, events, (89, 97));
}

#[test]
fn a_changed_piece_of_the_tail_is_a_gap() {
    for (slot, gap) in [(0_u32, (97, 99)), (1, (99, 101)), (2, (101, 103))] {
        let place = Place::disk();
        let events = sound(&place);
        let ring = tamper(&place, |database| {
            let state = database.keyspace("state", Default::default).unwrap();
            let key = [&b"tail/"[..], &slot.to_be_bytes()].concat();
            let mut piece = state.get(&key).unwrap().unwrap().to_vec();
            let last = piece.len() - 1;
            piece[last] ^= 1;
            state.insert(key, piece).unwrap();
        });
        goes_on(ring, events, gap);
    }
}

#[test]
fn changed_state_is_refused_by_name() {
    let place = Place::disk();
    sound(&place);
    {
        let database = fjall::Database::builder(place.path()).open().unwrap();
        let state = database.keyspace("state", Default::default).unwrap();
        state.insert("position", "changed").unwrap();
    }
    let error = open(Location::Disk(place.path().to_owned()), tiny()).unwrap_err();
    let named = matches!(&error, OpenError::Corrupt { what, .. } if what.contains("position"));
    assert!(named, "{error}");
}

/// Everything that can be read, and the ranges that cannot.
fn read_around_damage(store: &Store) -> (Vec<Event>, Vec<(u64, u64)>) {
    let (mut events, mut gaps) = (Vec::new(), Vec::new());
    let mut position = 1;
    loop {
        let read = store.read(Seq::new(position)).and_then(|read| {
            let run = match read {
                Read::Events(run) => run,
                Read::AtTip => return Ok(None),
                Read::Gap(gap) => {
                    assert_eq!(
                        (gap.first_seq, gap.cause),
                        (Seq::new(position), GapCause::Damaged)
                    );
                    assert_eq!(gap.events, Some(gap.next_seq.since(gap.first_seq)));
                    gaps.push((gap.first_seq.get(), gap.next_seq.get()));
                    return Ok(Some((gap.next_seq, Vec::new())));
                }
            };
            let taken = run.indexes().map(|index| taken(run.block(), index));
            Ok(Some((
                run.next_seq(),
                taken.collect::<Result<Vec<_>, _>>()?,
            )))
        });
        match read {
            Ok(None) => return (events, gaps),
            Ok(Some((next, taken))) => {
                events.extend(taken);
                position = next.get();
            }
            Err(StoreError::Corrupt {
                first_seq,
                next_seq,
                ..
            }) => {
                assert!(first_seq <= Seq::new(position) && next_seq > Seq::new(position));
                gaps.push((first_seq.get(), next_seq.get()));
                position = next_seq.get();
            }
            Err(other) => panic!("{other}"),
        }
    }
}

/// The files that hold blocks, of all buckets.
fn blobs(path: &Path) -> Vec<PathBuf> {
    let folders = fs::read_dir(path.join("keyspaces")).unwrap();
    let folders = folders.map(|folder| folder.unwrap().path().join("blobs"));
    let files = folders
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flatten();
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}
