use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use jetwash_dict::Dictionary;
use jetwash_store::{
    Appender, Block, CommitPart, EventKind, Location, Micros, NewEvent, Options, Read, Run, Seq,
    Store, StoreError, open,
};
use tempfile::TempDir;

/// Where a test's ring is kept.
pub(crate) struct Place {
    folder: Option<TempDir>,
}

impl Place {
    pub(crate) fn memory() -> Self {
        Self { folder: None }
    }

    pub(crate) fn disk() -> Self {
        Self {
            folder: Some(folder()),
        }
    }

    pub(crate) fn is_disk(&self) -> bool {
        self.folder.is_some()
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.as_ref().unwrap().path()
    }

    pub(crate) fn open(&self, options: Options) -> (Appender, Store) {
        let location = match &self.folder {
            Some(folder) => Location::Disk(folder.path().to_owned()),
            None => Location::Memory,
        };
        open(location, options).unwrap()
    }
}

/// A folder in memory where there is such a place: nothing here has to survive the machine, and
/// disks take their time to sync.
pub(crate) fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

/// Copies the folder of a ring that is open, as it is at one moment: the storage engine adds and
/// removes files in its own time, so a copy counts only if nothing has changed meanwhile.
pub(crate) fn copy_at_rest(from: &Path, to: &Path) {
    loop {
        let before = listing(from);
        let is_whole = before.iter().flatten().all(|(name, _)| {
            let copy = to.join(name);
            let made = fs::create_dir_all(copy.parent().unwrap());
            made.is_ok() && fs::copy(from.join(name), copy).is_ok()
        });
        if before.is_some() && is_whole && listing(from) == before {
            return;
        }
        fs::remove_dir_all(to).unwrap();
    }
}

/// All files below a folder, with their sizes and times; `None` if some go while they are listed.
fn listing(folder: &Path) -> Option<BTreeMap<PathBuf, (u64, SystemTime)>> {
    fn add(
        folder: &Path,
        below: &Path,
        files: &mut BTreeMap<PathBuf, (u64, SystemTime)>,
    ) -> std::io::Result<()> {
        for entry in fs::read_dir(folder.join(below))? {
            let entry = entry?;
            let (name, metadata) = (below.join(entry.file_name()), entry.metadata()?);
            if metadata.is_dir() {
                add(folder, &name, files)?;
            } else {
                files.insert(name, (metadata.len(), metadata.modified()?));
            }
        }
        Ok(())
    }
    let mut files = BTreeMap::new();
    add(folder, Path::new(""), &mut files).ok()?;
    Some(files)
}

/// Makes two tests of each function: one in memory, one on disk.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod in_memory {
            $(#[test] fn $name() { super::$name(&crate::support::Place::memory()); })*
        }
        mod on_disk {
            $(#[test] fn $name() { super::$name(&crate::support::Place::disk()); })*
        }
    };
}
pub(crate) use on_both;

/// An event as a test pushes it and expects it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) seq: u64,
    pub(crate) time_us: u64,
    pub(crate) kind: EventKind,
    pub(crate) did: String,
    pub(crate) collection: String,
    pub(crate) commit: Option<CommitPart>,
    pub(crate) source: &'static str,
    pub(crate) verdict: u8,
    pub(crate) json: Vec<u8>,
}

const SOURCES: [&str; 3] = ["wss://relay.example/", "", "wss://pds.example/"];

/// The time of the first event, in microseconds.
pub(crate) const START: u64 = 1_700_000_000_000_000;

/// An event made from a number, at a time.
pub(crate) fn event(number: u64, time_us: u64) -> Event {
    let dids = [
        "did:plc:z72i7hdynmk6r22z27h6tvur",
        "did:web:example.com",
        "did:plc:ewvi7nxzyoun6zhxrhs64oiz",
        "did:plc:not-of-the-usual-form",
        "did:plc:abcdefghijklmnopqrstuvw2",
    ];
    let (kind, collection) = match number % 7 {
        0 if number % 14 == 7 => (EventKind::Sync, ""),
        0 if number % 28 == 14 => (EventKind::Label, ""),
        0 => (EventKind::Identity, ""),
        1 => (EventKind::Account, ""),
        2 => (EventKind::Update, "app.bsky.actor.profile"),
        3 => (EventKind::Delete, "app.bsky.feed.like"),
        _ => (EventKind::Create, "app.bsky.feed.post"),
    };
    // Two operations of three: the one between them is not in the ring.
    let commit = match number % 8 {
        0 => CommitPart { index: 0, len: 3 },
        1 => CommitPart { index: 2, len: 3 },
        _ => CommitPart::WHOLE,
    };
    // For a few blocks each: not verified, all the same, one in ten different, and in turns.
    let verdict = match number / 24 % 4 {
        0 => 0,
        1 => 1,
        2 => [3, 1][usize::from(!number.is_multiple_of(10))],
        _ => [0x41, 0, 2][number as usize % 3],
    };
    let text = "a very good day ".repeat(number as usize % 5);
    Event {
        seq: number,
        time_us,
        kind,
        did: dids[number as usize % dids.len()].to_owned(),
        collection: collection.to_owned(),
        commit: kind.operation().map(|_| commit),
        // One source for long, then two in turns.
        source: SOURCES[(number / 100 % 2 * number % 3) as usize],
        verdict,
        json: format!("{{\"number\":{number},\"text\":\"{text}\"}}").into_bytes(),
    }
}

pub(crate) fn push(appender: &mut Appender, event: &Event, compressed: Option<&[u8]>) -> u64 {
    (appender
        .push(&NewEvent {
            kind: event.kind,
            did: &event.did,
            collection: &event.collection,
            commit: event.commit.unwrap_or(CommitPart { index: 9, len: 0 }),
            source: event.source,
            verdict: event.verdict,
            time_us: Micros::new(event.time_us),
            json: &event.json,
            compressed,
        })
        .unwrap())
    .get()
}

/// Pushes as many events, one millisecond apart, without committing.
pub(crate) fn push_many(appender: &mut Appender, count: u64) -> Vec<Event> {
    let events = (0..count).map(|_| {
        let seq = appender.next_seq();
        let made = event(
            seq.get(),
            (appender.next_time_us(Micros::new(START + seq.get() * 1_000))).get(),
        );
        assert_eq!(push(appender, &made, None), seq.get());
        made
    });
    events.collect()
}

/// Pushes as many events and commits after each `per_commit`.
pub(crate) fn append(appender: &mut Appender, count: u64, per_commit: u64) -> Vec<Event> {
    let mut events = Vec::new();
    while (events.len() as u64) < count {
        let left = count - events.len() as u64;
        events.extend(push_many(appender, left.min(per_commit)));
        appender.commit().unwrap();
    }
    events
}

/// An event of a block as it comes out, with the JSON of [`Block::json`].
pub(crate) fn taken(block: &Block, index: usize) -> Result<Event, StoreError> {
    let json = block.json()?.get(index).unwrap().to_vec();
    let meta = block.meta(index).unwrap();
    assert_eq!(meta.json_len, json.len());
    Ok(Event {
        seq: meta.seq.get(),
        time_us: meta.time_us.get(),
        kind: meta.kind,
        did: meta.did.to_owned(),
        collection: meta.collection.to_owned(),
        commit: meta.commit,
        source: SOURCES
            .into_iter()
            .find(|source| *source == meta.source)
            .unwrap(),
        verdict: meta.verdict,
        json,
    })
}

/// Everything from a position to the tip.
pub(crate) fn read_all(store: &Store, from: u64) -> Vec<Event> {
    let (mut position, mut events) = (from, Vec::new());
    loop {
        match store.read(Seq::new(position)).unwrap() {
            Read::Events(run) => {
                assert_eq!(
                    run.block().meta(run.indexes().start).unwrap().seq,
                    Seq::new(position)
                );
                events.extend(
                    run.indexes()
                        .map(|index| taken(run.block(), index).unwrap()),
                );
                position = run.next_seq().get();
            }
            Read::AtTip => return events,
            Read::Gap(gap) => panic!("at {position}: {gap}"),
        }
    }
}

/// Options so small that a few dozen events make many blocks and buckets, all but the newest of
/// them cold.
pub(crate) fn tiny() -> Options {
    Options::default()
        .block_events(8)
        .bucket_events(40)
        .hot_bytes(1)
        .cache_bytes(20_000)
        .memtable_bytes(1 << 16)
}

/// A small dictionary, made of events like those of [`event`].
pub(crate) fn dictionary(id: u32) -> Dictionary {
    let samples = (0..2_000).map(|number| event(number * u64::from(id), 0).json);
    Dictionary::train(samples, 1_024, id).unwrap()
}

pub(crate) fn compress(dictionary: &Dictionary, json: &[u8]) -> Vec<u8> {
    let mut compressor = zstd::bulk::Compressor::with_dictionary(1, dictionary.bytes()).unwrap();
    compressor.compress(json).unwrap()
}

pub(crate) fn decompress(dictionary: &Dictionary, compressed: &[u8]) -> Vec<u8> {
    let mut decoder = zstd::bulk::Decompressor::with_dictionary(dictionary.bytes()).unwrap();
    decoder.decompress(compressed, 1 << 20).unwrap()
}

/// Reads at a position, from memory or otherwise from disk.
pub(crate) fn find(store: &Store, position: u64) -> Read {
    match store.read_hot(Seq::new(position)) {
        Some(found) => found,
        None => store.read(Seq::new(position)).unwrap(),
    }
}

/// Goes past a run, each event of which must be the next one, and what it should be. Gives their
/// number.
pub(crate) fn pass(run: &Run, position: &mut u64) -> u64 {
    let start = *position;
    for index in run.indexes() {
        let found = taken(run.block(), index).unwrap();
        assert_eq!(found.seq, *position);
        assert_eq!(found, event(*position, found.time_us));
        *position += 1;
    }
    assert_eq!(*position, run.next_seq().get());
    *position - start
}
