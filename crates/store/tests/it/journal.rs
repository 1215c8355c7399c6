//! After damage to the journal, upstreams are asked again for what is missing, and for little else.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use jetwash_dict::Dictionary;
use jetwash_store::{Appender, Durability, Micros, Options, Seq, Store};

use crate::fixture::copy;
use crate::support::{Place, append, compress, copy_at_rest, event, push};

pub(crate) const RELAY: &str = "wss://relay.example/";
pub(crate) const EVENTS: u64 = 6_000;
pub(crate) const PER_COMMIT: u64 = 7;
pub(crate) const PER_BLOCK: u64 = 64;

pub(crate) fn options() -> Options {
    Options::default()
        .block_events(PER_BLOCK as usize)
        .bucket_events(1_500)
        .memtable_bytes(1 << 16)
}

/// Writes events of which the relay's numbers are the positions, 1,000 ahead.
pub(crate) fn write(appender: &mut Appender, dictionary: Option<&Dictionary>) {
    while appender.next_seq() <= Seq::new(EVENTS) {
        for _ in 0..PER_COMMIT {
            let seq = appender.next_seq();
            let mut made = event(seq.get(), appender.next_time_us(Micros::EPOCH).get());
            // What does not compress, so that blocks are written out at other times than state.
            let noise =
                (0..40).map(|at| (seq.get() * 1_000 + at).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            made.json = noise
                .flat_map(|part| format!("{part:x}").into_bytes())
                .collect();
            let packed = dictionary.map(|dictionary| compress(dictionary, &made.json));
            push(appender, &made, packed.as_deref());
        }
        appender.set_cursor(RELAY, 1_000 + appender.next_seq().previous().get());
        appender.commit().unwrap();
    }
}

/// A ring as a killed process leaves it.
fn killed() -> Place {
    let place = Place::disk();
    let (mut appender, store) = place.open(options());
    write(&mut appender, None);
    let left = Place::disk();
    copy_at_rest(place.path(), left.path());
    drop((appender, store));
    left
}

pub(crate) fn journals(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut journals: Vec<_> = entries
        .filter(|path| path.extension().is_some_and(|extension| extension == "jnl"))
        .collect();
    journals.sort();
    journals
}

/// The positions of the events that can be read.
pub(crate) fn positions(store: &Store) -> Vec<u64> {
    use jetwash_store::{Read, StoreError};
    let (mut at, mut found) = (1, Vec::new());
    loop {
        match store.read(Seq::new(at)) {
            Ok(Read::Events(run)) => {
                found.extend(at..run.next_seq().get());
                at = run.next_seq().get();
            }
            Ok(Read::AtTip) => return found,
            Ok(Read::Gap(gap)) => at = gap.next_seq.get(),
            Err(StoreError::Corrupt { next_seq, .. }) => at = next_seq.get(),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn damage_to_the_journal_has_the_relay_asked_for_what_is_missing_and_little_else() {
    let left = killed();
    let length = |path: &PathBuf| fs::metadata(path).unwrap().len();
    let journal = journals(left.path()).pop().unwrap();
    let name = journal.file_name().unwrap().to_owned();
    let mut has_lost = 0;
    for place in 1..12 {
        let damaged = Place::disk();
        copy(left.path(), damaged.path());
        let path = damaged.path().join(&name);
        let at = length(&path) * place / 12;
        let file = File::options().read(true).write(true).open(&path).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
        drop(file);

        let (appender, store) = damaged.open(options());
        let cursor = appender.cursor(RELAY).unwrap() - 1_000;
        let there = positions(&store);
        let missing: Vec<u64> = (1..=EVENTS).filter(|seq| !there.contains(seq)).collect();
        has_lost += usize::from(!missing.is_empty());
        let first_missing = missing.first().copied().unwrap_or(u64::MAX);
        assert!(
            cursor < first_missing,
            "damage at {at}: {first_missing} is missing, and never asked for after {cursor}"
        );
        let again = there.iter().filter(|seq| **seq > cursor).count() as u64;
        assert!(
            again <= 2 * PER_BLOCK + PER_COMMIT,
            "damage at {at}: {again} events sent again for {} lost",
            missing.len()
        );
        // It continues from there, and the cursor is a stored one after the next opening too.
        drop((appender, store));
        let (appender, _store) = damaged.open(options());
        assert!(appender.cursor(RELAY).unwrap() - 1_000 <= cursor);
    }
    assert!(has_lost > 5, "the damage took nothing");
}

/// No mark is kept then, as a power failure takes nothing.
#[test]
fn damage_to_the_journal_gives_out_no_position_twice_if_every_commit_is_synced() {
    let place = Place::disk();
    let options = || options().durability(Durability::SyncedBatch);
    let (mut appender, store) = place.open(options());
    append(&mut appender, 400, 7);
    drop((appender, store));
    let journal = journals(place.path()).pop().unwrap();
    let file = File::options()
        .read(true)
        .write(true)
        .open(journal)
        .unwrap();
    file.write_all_at(&[0xff; 8], 20_000).unwrap();
    let (appender, store) = place.open(options());
    assert!(positions(&store).len() < 400, "the damage took nothing");
    assert!(
        appender.next_seq() > Seq::new(400),
        "{}",
        appender.next_seq()
    );
}
