//! Restarts of the machine, and not only of the process.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use jetwash_store::{Appender, Durability, Gap, GapCause, Micros, Options, Read, Seq, Store};

use crate::support::{
    Place, START, append, copy_at_rest, event, folder, push, push_many, read_all, tiny,
};

fn options() -> Options {
    tiny().durability(Durability::Buffered)
}

/// Adds 20 events to a ring, whose process is killed then: the appender never got to say goodbye.
fn killed(place: &Place) {
    let (mut appender, store) = place.open(options());
    append(&mut appender, 20, 4);
    let copy = folder();
    copy_at_rest(place.path(), copy.path());
    drop((appender, store));
    fs::remove_dir_all(place.path()).unwrap();
    copy_at_rest(copy.path(), place.path());
}

/// Ends the process of a ring as a power failure does.
pub(crate) fn fail_power(place: &Place, ring: (Appender, Store)) {
    let copy = folder();
    copy_at_rest(place.path(), copy.path());
    drop(ring);
    fs::remove_dir_all(place.path()).unwrap();
    copy_at_rest(copy.path(), place.path());
    restart_machine(place.path());
}

/// Has the store believe that the machine was started anew: changes the identifier in both slots.
pub(crate) fn restart_machine(folder: &Path) {
    let file = File::options()
        .read(true)
        .write(true)
        .open(folder.join("reserved"))
        .unwrap();
    for slot in [0, 4096] {
        let (mut mark, mut checksum) = ([0; 60], [0; 4]);
        let read = file.read_exact_at(&mut mark, slot);
        let is_whole = read.and_then(|()| file.read_exact_at(&mut checksum, slot + 60));
        if is_whole.is_ok() && crc32fast::hash(&mark).to_le_bytes() == checksum {
            mark[24..].copy_from_slice(b"00000000-0000-0000-0000-00000000cafe");
            let checksum = crc32fast::hash(&mark).to_le_bytes();
            file.write_all_at(&[&mark[..], &checksum].concat(), slot)
                .unwrap();
        }
    }
}

/// The position and the time that the newer of the two marks has reserved.
fn reserved(folder: &Path) -> (u64, u64) {
    let bytes = fs::read(folder.join("reserved")).unwrap();
    let number = |slot: usize, at: usize| {
        let bytes = bytes[slot * 4096 + at..][..8].try_into();
        u64::from_le_bytes(bytes.unwrap())
    };
    let newer = (0..2).max_by_key(|&slot| number(slot, 0)).unwrap();
    (number(newer, 8), number(newer, 16))
}

#[test]
fn what_is_used_is_reserved_before_the_position_and_the_time() {
    let place = Place::disk();
    let (mut appender, _store) = place.open(options());
    for number in 1..=6 {
        // Longer than the time that is reserved at once, and far fewer positions.
        let time_us = START + number * 60_000_000;
        push(&mut appender, &event(number, time_us), None);
        appender.commit().unwrap();
        let (seq, time) = reserved(place.path());
        assert!(seq > number && time >= time_us, "{seq} and {time}");
    }
}

#[test]
fn after_the_process_alone_positions_go_on_without_a_gap() {
    let place = Place::disk();
    killed(&place);
    let (appender, store) = place.open(options());
    assert_eq!(appender.next_seq(), Seq::new(21));
    assert_eq!(store.bounds().lost, 0);
}

#[test]
fn after_an_orderly_end_positions_go_on_without_a_gap() {
    let place = Place::disk();
    let (mut appender, _store) = place.open(options());
    append(&mut appender, 20, 4);
    drop((appender, _store));
    restart_machine(place.path());
    let (mut appender, store) = place.open(options());
    assert_eq!(append(&mut appender, 1, 1)[0].seq, 21);
    assert_eq!(store.bounds().lost, 0);
}

#[test]
fn after_a_power_failure_positions_and_times_are_new_and_the_gap_is_told() {
    let place = Place::disk();
    killed(&place);
    restart_machine(place.path());
    let (mut appender, store) = place.open(options());
    // The first commit reserved 65,536 positions and 10 seconds beyond it.
    let next = 5 + 65_536;
    assert_eq!(appender.next_seq(), Seq::new(next));
    assert_eq!(
        appender.next_time_us(Micros::EPOCH),
        Micros::new(START + 4_000 + 10_000_000 + 1)
    );
    let bounds = store.bounds();
    assert_eq!((bounds.events(), bounds.lost), (20, next - 21));
    for position in [21, 22, next - 1] {
        let hot = store.read_hot(Seq::new(position));
        let read = store.read(Seq::new(position)).unwrap();
        for read in hot.into_iter().chain([read]) {
            assert!(
                matches!(&read, Read::Gap(gap) if *gap == Gap::new(Seq::new(position), Seq::new(next), GapCause::Skipped)),
                "{read:?}"
            );
        }
    }
    assert!(matches!(store.read(Seq::new(next)).unwrap(), Read::AtTip));
    assert_eq!(
        store.seq_at_time(Micros::new(START + 20_001)).unwrap(),
        Seq::new(next)
    );

    let later = push_many(&mut appender, 3);
    appender.commit().unwrap();
    assert_eq!(later[0].seq, next);
    drop((appender, store));
    let (_appender, store) = place.open(options());
    assert_eq!(read_all(&store, next), later);
    assert_eq!(store.bounds().events(), 23);
    assert!(
        matches!(store.read(Seq::new(100)).unwrap(), Read::Gap(gap) if gap.next_seq == Seq::new(next))
    );
}

#[test]
fn gaps_are_forgotten_with_the_events_before_them() {
    let place = Place::disk();
    for _ in 0..3 {
        killed(&place);
        restart_machine(place.path());
    }
    let (mut appender, store) = place.open(options());
    assert_eq!(store.bounds().events(), 60);
    assert!(store.bounds().lost > 3 * 60_000);
    append(&mut appender, 1, 1);
    let later = store.bounds().newest_time_us.unwrap().get() + 48 * 3_600_000_000;
    appender
        .trim_after(Micros::new(later), Duration::MAX)
        .unwrap();
    assert_eq!((store.bounds().events(), store.bounds().lost), (0, 0));
}
