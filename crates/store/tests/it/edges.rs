//! Readers anywhere, above all where buckets begin, while the writer continues as fast as it can.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use jetwash_store::{Micros, Read, Retention, Seq, Store};

use crate::random::Random;
use crate::support::{Place, append, find, on_both, pass, tiny};

on_both!(
    a_reader_at_any_position_sees_no_gap_repetition_or_reordering,
    a_reader_at_every_edge_of_a_bucket_sees_no_gap_repetition_or_reordering,
);

/// Every commit is a block, and five of them a bucket, so that it is known where buckets begin.
const BLOCK: u64 = 8;
const BUCKET: u64 = 40;

/// Writes and trims, while each of the readers is given the store and whether the end is reached.
fn write_against<const N: usize>(place: &Place, readers: [fn(&Store, &AtomicBool) -> u64; N]) {
    let retention = Retention {
        max_age: None,
        max_bytes: Some(60_000),
    };
    let options = tiny()
        .retention(retention)
        .bucket_bytes(1 << 20)
        .hot_bytes(4_000);
    let (mut appender, store) = place.open(options);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let readers = readers.map(|reader| {
            let (store, done) = (store.clone(), &done);
            scope.spawn(move || reader(&store, done))
        });
        // The engine takes its time to begin and to drop a bucket.
        let events = if place.is_disk() { 3_000 } else { 20_000 };
        for round in 0..events / BLOCK {
            append(&mut appender, BLOCK, BLOCK);
            if round % 3 == 0 {
                appender.trim(Micros::EPOCH).unwrap();
            }
        }
        done.store(true, Ordering::Release);
        for reader in readers {
            assert!(reader.join().unwrap() > 0, "a reader read nothing");
        }
    });
}

fn a_reader_at_any_position_sees_no_gap_repetition_or_reordering(place: &Place) {
    write_against(place, [at_random, at_random, at_random]);
}

fn a_reader_at_every_edge_of_a_bucket_sees_no_gap_repetition_or_reordering(place: &Place) {
    write_against(place, [at_edges, at_edges, at_the_oldest]);
}

fn at_random(store: &Store, done: &AtomicBool) -> u64 {
    let mut random = Random(7);
    let mut read = 0;
    while !done.load(Ordering::Acquire) {
        let next = store.bounds().next_seq;
        read += walk(store, random.below(next.get() + 1), random.below(100));
    }
    read
}

/// One edge after the other, from both sides.
fn at_edges(store: &Store, done: &AtomicBool) -> u64 {
    let (mut read, mut edge) = (0, 1 + BUCKET);
    while !done.load(Ordering::Acquire) {
        let bounds = store.bounds();
        edge = edge.max(bounds.oldest_seq.get());
        if edge >= bounds.next_seq.get() {
            thread::yield_now();
            continue;
        }
        for from in edge - 2..edge + 2 {
            read += walk(store, from, 5);
        }
        edge += BUCKET;
    }
    read
}

/// The edge that moves.
fn at_the_oldest(store: &Store, done: &AtomicBool) -> u64 {
    let mut read = 0;
    while !done.load(Ordering::Acquire) {
        let oldest = store.bounds().oldest_seq;
        for from in oldest.get().saturating_sub(1)..=oldest.get() {
            read += walk(store, from, 50);
        }
    }
    read
}

/// Reads a few events, each of which must be the next one, and what it should be.
fn walk(store: &Store, from: u64, count: u64) -> u64 {
    let (mut position, mut read) = (from.max(1), 0);
    while read < count {
        match find(store, position) {
            Read::Events(run) => read += pass(&run, &mut position),
            Read::AtTip => return read,
            Read::Gap(gap) => {
                let oldest = gap.next_seq;
                assert!(
                    oldest > Seq::new(position),
                    "{oldest} is not after {position}"
                );
                assert_eq!(oldest.get() % BUCKET, 1, "a bucket went in part");
                position = oldest.get();
            }
        }
    }
    read
}
