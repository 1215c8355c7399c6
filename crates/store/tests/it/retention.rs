#[cfg(unix)]
use jetwash_store::{Micros, Seq};
use std::os::unix::fs::MetadataExt;
#[cfg(unix)]
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use jetwash_store::{GapCause, Options, Read, Retention};

use crate::support::{
    Place, START, append, dictionary, event, on_both, push, push_many, read_all, tiny,
};

on_both!(
    nothing_is_dropped_that_is_young_enough,
    old_buckets_are_dropped,
    the_ring_stays_within_its_bytes,
    a_reader_behind_the_ring_is_told,
    a_block_in_hand_stays_readable,
    an_old_ring_is_emptied,
    events_not_committed_survive_a_trim,
    a_quiet_ring_still_forgets,
    a_clock_that_jumps_ahead_takes_nothing_at_once,
    a_clock_that_stays_ahead_takes_a_bucket_a_minute,
    another_retention_holds_from_the_next_trim_on,
);

fn keep(max_age: Option<Duration>, max_bytes: Option<u64>) -> Options {
    let bucket_age = Duration::from_secs(1 << 30);
    tiny()
        .retention(Retention { max_age, max_bytes })
        .bucket_age(bucket_age)
}

fn another_retention_holds_from_the_next_trim_on(place: &Place) {
    let (mut appender, store) = place.open(keep(Some(Duration::from_secs(60)), None));
    append(&mut appender, 300, 7);
    let now = Micros::new(START + 1_000_000);
    let trimmed = appender.trim_after(now, Duration::MAX).unwrap();
    assert_eq!(trimmed.events, 0);
    let shorter = Retention {
        max_age: Some(Duration::from_millis(100)),
        ..store.retention()
    };
    store.set_retention(shorter);
    assert_eq!(store.bounds().oldest_seq, Seq::FIRST);
    let trimmed = appender.trim_after(now, Duration::MAX).unwrap();
    assert_eq!(trimmed.events, 300, "all are older than 100 ms");
    append(&mut appender, 300, 7);
    store.set_retention(Retention {
        max_age: None,
        max_bytes: Some(1),
    });
    appender.trim_after(now, Duration::MAX).unwrap();
    assert_eq!(store.usage().buckets, 1, "but the newest bucket");
}

fn nothing_is_dropped_that_is_young_enough(place: &Place) {
    let (mut appender, store) = place.open(keep(Some(Duration::from_millis(100)), None));
    let events = append(&mut appender, 300, 7);
    for now in (0..400).step_by(9) {
        let now_us = START + now * 1_000;
        appender.trim(Micros::new(now_us)).unwrap();
        let oldest = store.bounds().oldest_seq;
        let first_young = events
            .iter()
            .find(|event| event.time_us + 100_000 >= now_us);
        assert!(
            first_young.is_none_or(|event| oldest <= Seq::new(event.seq)),
            "at {now}: {oldest}"
        );
        assert_eq!(
            read_all(&store, oldest.get()),
            events[oldest.get() as usize - 1..]
        );
    }
}

fn old_buckets_are_dropped(place: &Place) {
    let (mut appender, store) = place.open(keep(Some(Duration::from_millis(100)), None));
    let events = append(&mut appender, 300, 7);
    let before = store.bounds();
    let buckets = store.usage().buckets;
    // All up to event 199 is too old; a bucket has 40 events and a bit.
    let trimmed = appender.trim(Micros::new(START + 300_000)).unwrap();
    let after = store.bounds();
    assert!(
        after.oldest_seq <= Seq::new(200) && after.oldest_seq > Seq::new(200 - 60),
        "{after:?}"
    );
    assert_eq!(trimmed.oldest_seq, after.oldest_seq);
    assert_eq!(trimmed.events, after.oldest_seq.get() - 1);
    assert_eq!(trimmed.buckets, buckets - store.usage().buckets);
    assert_eq!(trimmed.bytes, before.bytes - after.bytes);
    assert_eq!(
        read_all(&store, after.oldest_seq.get()),
        events[after.oldest_seq.get() as usize - 1..]
    );
    assert_eq!(
        after.oldest_time_us,
        Some(Micros::new(
            events[after.oldest_seq.get() as usize - 1].time_us
        ))
    );
    assert_eq!(store.seq_at_time(Micros::EPOCH).unwrap(), after.oldest_seq);
    assert_eq!(
        appender.trim(Micros::new(START + 300_000)).unwrap().events,
        0
    );
}

fn the_ring_stays_within_its_bytes(place: &Place) {
    let max_bytes = 60_000;
    let options = keep(None, Some(max_bytes))
        .bucket_bytes(4_000)
        .block_events(16);
    let (mut appender, store) = place.open(options);
    let mut events = Vec::new();
    let mut most = 0;
    for _ in 0..60 {
        events.extend(append(&mut appender, 100, 9));
        appender.trim(Micros::EPOCH).unwrap();
        let bounds = store.bounds();
        most = most.max(bounds.bytes);
        assert!(bounds.bytes <= max_bytes, "{bounds:?}");
    }
    assert!(
        most > max_bytes / 3,
        "far too much is dropped: {most} bytes at most"
    );
    let oldest = store.bounds().oldest_seq;
    assert!(oldest > Seq::FIRST);
    assert_eq!(
        read_all(&store, oldest.get()),
        events[oldest.get() as usize - 1..]
    );
}

fn a_reader_behind_the_ring_is_told(place: &Place) {
    let (mut appender, store) = place.open(keep(Some(Duration::from_millis(100)), None));
    append(&mut appender, 300, 7);
    appender.trim(Micros::new(START + 300_000)).unwrap();
    let oldest = store.bounds().oldest_seq;
    for from in [0, 1, oldest.get() - 1] {
        for read in [
            store.read(Seq::new(from)).unwrap(),
            store.read_hot(Seq::new(from)).unwrap(),
        ] {
            assert!(
                matches!(&read, Read::Gap(gap) if gap.next_seq == oldest
                    && gap.cause == GapCause::Trimmed
                    && gap.events == Some(oldest.get() - u64::max(from, 1))),
                "{read:?}"
            );
        }
    }
}

fn a_block_in_hand_stays_readable(place: &Place) {
    let (mut appender, store) = place.open(keep(Some(Duration::from_millis(1)), None));
    let events = append(&mut appender, 100, 7);
    let Ok(Read::Events(run)) = store.read(Seq::FIRST) else {
        panic!("nothing to read")
    };
    assert!(!run.block().has_json());
    appender.trim(Micros::new(START + 10_000_000)).unwrap();
    assert_eq!(store.bounds().events(), 0);
    let json = run.block().json().unwrap();
    for index in run.indexes() {
        assert_eq!(json.get(index).unwrap(), events[index].json);
    }
}

fn an_old_ring_is_emptied(place: &Place) {
    let (mut appender, store) = place.open(keep(Some(Duration::from_millis(100)), None));
    append(&mut appender, 100, 7);
    // The newest event is exactly at the limit, then one microsecond beyond it.
    let newest = store.bounds().newest_time_us.unwrap();
    appender.trim(Micros::new(newest.get() + 100_000)).unwrap();
    assert!(store.bounds().events() > 0);
    appender.trim(Micros::new(newest.get() + 100_001)).unwrap();
    let bounds = store.bounds();
    assert_eq!(
        (bounds.oldest_seq, bounds.next_seq, bounds.bytes),
        (Seq::new(101), Seq::new(101), 0)
    );
    assert!(matches!(store.read(Seq::new(101)), Ok(Read::AtTip)));
    assert_eq!(store.seq_at_time(Micros::EPOCH).unwrap(), Seq::new(101));
    let events = append(&mut appender, 50, 7);
    assert_eq!(read_all(&store, 101), events);
}

fn events_not_committed_survive_a_trim(place: &Place) {
    let (mut appender, store) = place.open(keep(Some(Duration::from_millis(100)), None));
    append(&mut appender, 30, 7);
    let pending = push_many(&mut appender, 5);
    appender.trim(Micros::new(START + 10_000_000)).unwrap();
    assert_eq!(store.bounds().events(), 0);
    appender.commit().unwrap();
    assert_eq!(read_all(&store, 31), pending);
}

fn a_quiet_ring_still_forgets(place: &Place) {
    // One event a minute never fills a block of 512, but blocks end with the age of a bucket.
    let hour = Duration::from_secs(3_600);
    let retention = Retention {
        max_age: Some(24 * hour),
        max_bytes: None,
    };
    let (mut appender, store) = place.open(Options::default().retention(retention));
    for minute in 0..60 * 72 {
        let time_us = START + minute * 60_000_000;
        push(&mut appender, &event(minute + 1, time_us), None);
        appender.commit().unwrap();
        if minute % 60 == 59 {
            appender.trim_after(Micros::new(time_us), hour).unwrap();
            let kept = store.bounds().events();
            assert!(
                kept <= 26 * 60 && kept >= (minute + 1).min(24 * 60),
                "{kept} at {minute}"
            );
        }
    }
}

/// Ten years.
const AHEAD_US: u64 = 10 * 365 * 24 * 3_600_000_000;

/// A day of events, one a minute, in a ring that keeps a day.
fn a_day(place: &Place) -> (jetwash_store::Appender, jetwash_store::Store, u64) {
    let (mut appender, store) = place.open(Options::default());
    let mut time_us = START;
    for minute in 0..24 * 60 {
        time_us = START + minute * 60_000_000;
        append_at(&mut appender, time_us);
    }
    appender.trim(Micros::new(time_us)).unwrap();
    (appender, store, time_us)
}

fn a_clock_that_jumps_ahead_takes_nothing_at_once(place: &Place) {
    let (mut appender, store, now_us) = a_day(place);
    let before = store.bounds();
    for second in 1..=6 {
        let now_us = now_us + second * 1_000_000 + AHEAD_US;
        appender
            .trim_after(Micros::new(now_us), Duration::from_secs(1))
            .unwrap();
    }
    assert_eq!(store.bounds(), before);
    // It is right again, and time continues as if nothing had been.
    let hour = Duration::from_secs(3_600);
    let trimmed = appender
        .trim_after(Micros::new(now_us + 2 * 3_600_000_000), 2 * hour)
        .unwrap();
    assert!(trimmed.events > 0 && trimmed.events <= 120, "{trimmed:?}");
    // The clock of the process itself is asked otherwise.
    appender.trim(Micros::new(now_us + AHEAD_US)).unwrap();
    assert!(store.bounds().events() > 22 * 60);
}

fn a_clock_that_stays_ahead_takes_a_bucket_a_minute(place: &Place) {
    let (mut appender, store, now_us) = a_day(place);
    let minute = Duration::from_secs(60);
    let mut minutes = 0;
    while store.bounds().events() > 0 {
        assert!(minutes < 100, "old events stay for ever");
        let trimmed = appender
            .trim_after(Micros::new(now_us + AHEAD_US), minute)
            .unwrap();
        assert!(trimmed.buckets <= 1, "{trimmed:?}");
        minutes += 1;
    }
    assert!(minutes > 20, "{minutes}");
}

/// It may be right: the process was not there for so long. Or it is wrong from the start.
#[test]
fn a_clock_that_is_ahead_at_the_opening_takes_a_bucket_a_minute() {
    let place = Place::disk();
    let (appender, store, now_us) = a_day(&place);
    drop((appender, store));
    let (mut appender, store) = place.open(Options::default());
    let before = store.bounds();
    let now_us = now_us + AHEAD_US;
    append_at(&mut appender, now_us);
    appender.trim(Micros::new(now_us)).unwrap();
    assert_eq!(store.bounds().oldest_seq, before.oldest_seq);
    let minute = Duration::from_secs(60);
    let buckets: Vec<usize> = (0..30)
        .map(|_| {
            appender
                .trim_after(Micros::new(now_us), minute)
                .unwrap()
                .buckets
        })
        .collect();
    assert!(buckets.iter().all(|count| *count <= 1), "{buckets:?}");
    assert!(store.bounds().events() < 120, "{buckets:?}");
}

fn append_at(appender: &mut jetwash_store::Appender, time_us: u64) {
    let made = event(appender.next_seq().get(), time_us);
    push(appender, &made, None);
    appender.commit().unwrap();
}

#[test]
fn the_files_of_dropped_buckets_are_gone() {
    let place = Place::disk();
    let (mut appender, store) = place.open(keep(Some(Duration::from_millis(100)), None));
    append(&mut appender, 400, 7);
    let before = keyspaces(&place);
    let trimmed = appender.trim(Micros::new(START + 400_000)).unwrap();
    assert!(trimmed.buckets >= 5);
    await_keyspaces(&place, before - trimmed.buckets);
    let oldest = store.bounds().oldest_seq;
    drop((appender, store));
    let (_appender, store) = place.open(tiny());
    assert_eq!(store.bounds().oldest_seq, oldest);
}

/// How many folders of buckets and the like there are.
fn keyspaces(place: &Place) -> usize {
    let keyspaces = std::fs::read_dir(place.path().join("keyspaces"));
    keyspaces.unwrap().count()
}

/// Waits until that number is left. The engine may still be writing one of them out, and lets go of it
/// when it has done so.
fn await_keyspaces(place: &Place, left: usize) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while keyspaces(place) != left {
        let now = keyspaces(place);
        assert!(Instant::now() < deadline, "{now} instead of {left}");
        thread::yield_now();
    }
}

#[test]
fn retention_can_be_changed_by_opening_anew() {
    let place = Place::disk();
    let (mut appender, store) = place.open(keep(Some(Duration::from_secs(1_000)), None));
    append(&mut appender, 300, 7);
    assert_eq!(
        appender.trim(Micros::new(START + 300_000)).unwrap().events,
        0
    );
    drop((appender, store));
    let (mut appender, _store) = place.open(keep(Some(Duration::from_millis(100)), None));
    assert!(appender.trim(Micros::new(START + 300_000)).unwrap().events > 0);
}

/// The bytes that the files of a folder take on the disk.
#[cfg(unix)]
fn disk_usage(folder: &Path) -> u64 {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        // Files come and go while the storage engine works.
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        bytes += match metadata.is_dir() {
            true if entry.path().exists() => disk_usage(&entry.path()),
            _ => metadata.blocks() * 512,
        };
    }
    bytes
}

/// A bound that is below what the journal takes by itself, at the highest rate there is.
#[cfg(unix)]
#[test]
fn the_files_stay_within_the_bytes_and_the_slack_at_any_rate() {
    const MAX_BYTES: u64 = 64 << 20;
    const SLACK: u64 = 128 << 20;
    let place = Place::disk();
    let retention = Retention {
        max_age: None,
        max_bytes: Some(MAX_BYTES),
    };
    let (mut appender, store) = place.open(Options::default().retention(retention));
    appender.set_dictionary(&dictionary(1)).unwrap();
    // What nobody reads need not decompress.
    let noise: Vec<u8> = (0..40_000_u64)
        .map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u8)
        .collect();
    let mut most = 0;
    for _ in 0..400 {
        for _ in 0..16 {
            let made = event(
                appender.next_seq().get(),
                appender.next_time_us(Micros::new(START)).get(),
            );
            push(&mut appender, &made, Some(&noise));
        }
        appender.commit().unwrap();
        if appender.is_trim_due() {
            appender.trim(Micros::EPOCH).unwrap();
            most = most.max(disk_usage(place.path()));
        }
    }
    assert!(most > MAX_BYTES, "{most} bytes: too few to tell anything");
    assert!(most < MAX_BYTES + SLACK, "{most} bytes");
    assert!(
        store.bounds().bytes > MAX_BYTES / 3,
        "far too much is dropped"
    );
    assert!(store.bounds().oldest_seq > Seq::FIRST);
}

/// A reader has no time to remove files: the next trim does it.
#[test]
fn the_files_of_a_bucket_in_use_go_with_a_later_trim() {
    let place = Place::disk();
    let (mut appender, store) = place.open(keep(Some(Duration::from_millis(100)), None));
    append(&mut appender, 400, 7);
    let Ok(Read::Events(run)) = store.read(Seq::FIRST) else {
        panic!("nothing to read")
    };
    let before = keyspaces(&place);
    let trimmed = appender.trim(Micros::new(START + 400_000)).unwrap();
    assert!(trimmed.buckets > 1);
    let held = before - trimmed.buckets + 1;
    await_keyspaces(&place, held);
    assert!(run.block().json().is_ok());
    drop(run);
    assert_eq!(keyspaces(&place), held, "the reader has removed files");
    appender.trim(Micros::new(START + 400_000)).unwrap();
    await_keyspaces(&place, held - 1);
}

/// However often their buffer was written out, what is kept in memory of full buckets is little.
#[test]
fn the_tables_of_a_full_bucket_are_made_one() {
    let place = Place::disk();
    let bucket_age = Duration::from_secs(1_000_000);
    let options = || {
        tiny()
            .block_events(64)
            .bucket_events(1 << 31)
            .bucket_age(bucket_age)
            .memtable_bytes(64 << 10)
    };
    let (mut appender, store) = place.open(options());
    let mut events = Vec::new();
    for bucket in 0..3 {
        let start = START + bucket as u64 * bucket_age.as_micros() as u64;
        // While the disk lags behind, the buffer grows: there is no telling how many events it takes.
        while buckets(&place)
            .get(bucket)
            .is_none_or(|made| made.blobs < 7)
        {
            for _ in 0..64 {
                let made = event(
                    appender.next_seq().get(),
                    appender.next_time_us(Micros::new(start)).get(),
                );
                push(&mut appender, &made, None);
                events.push(made);
            }
            appender.commit().unwrap();
        }
    }
    // One, and perhaps what was being written out when the next bucket began.
    await_buckets(&place, |buckets| {
        let (newest, full) = buckets.split_last().unwrap();
        assert!(full.len() == 2 && newest.tables > 4, "{buckets:?}");
        assert!(full.iter().all(|bucket| bucket.blobs >= 7), "{buckets:?}");
        full.iter().all(|bucket| bucket.tables <= 3)
    });
    assert_eq!(read_all(&store, 1), events);
    drop((appender, store));
    let (mut appender, store) = place.open(options());
    events.extend(append(&mut appender, 100, 64));
    assert_eq!(read_all(&store, 1), events);
}

/// The files of a bucket.
#[derive(Debug)]
struct Files {
    tables: usize,
    blobs: usize,
}

/// Waits until the files of the buckets are as they are to be.
fn await_buckets(place: &Place, is_so: impl Fn(&[Files]) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let buckets = buckets(place);
        if is_so(&buckets) {
            return;
        }
        assert!(Instant::now() < deadline, "{buckets:?}");
        thread::yield_now();
    }
}

/// The buckets that have files, in the order of their making.
fn buckets(place: &Place) -> Vec<Files> {
    let keyspaces = std::fs::read_dir(place.path().join("keyspaces")).unwrap();
    let mut buckets: Vec<_> = keyspaces
        .filter_map(|keyspace| {
            let folder = keyspace.unwrap().path();
            let number: u64 = folder.file_name()?.to_str()?.parse().ok()?;
            let count = |kind| std::fs::read_dir(folder.join(kind)).map_or(0, Iterator::count);
            let (tables, blobs) = (count("tables"), count("blobs"));
            (blobs > 0).then_some((number, Files { tables, blobs }))
        })
        .collect();
    buckets.sort_by_key(|(number, _)| *number);
    buckets.into_iter().map(|(_, files)| files).collect()
}
