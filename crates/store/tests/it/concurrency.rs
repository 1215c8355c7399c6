use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use jetwash_store::{Micros, Read, Retention, Seq, Store};

use crate::support::{Place, append, find, on_both, pass, tiny};

on_both!(readers_see_each_event_once_and_in_order_while_the_ring_turns);

const EVENTS: u64 = 12_000;

fn readers_see_each_event_once_and_in_order_while_the_ring_turns(place: &Place) {
    let retention = Retention {
        max_age: None,
        max_bytes: Some(40_000),
    };
    let options = tiny()
        .retention(retention)
        .bucket_bytes(3_000)
        .hot_bytes(6_000);
    let (mut appender, store) = place.open(options);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let readers: Vec<_> = [0, 1, 2]
            .map(|slowness| {
                let (store, done) = (store.clone(), &done);
                scope.spawn(move || follow(&store, done, slowness))
            })
            .into();
        let mut written = 0;
        for round in 0.. {
            let count = (round * 7 % 23 + 1).min(EVENTS - written);
            append(&mut appender, count, count);
            written += count;
            if round % 10 == 0 {
                appender.trim(Micros::EPOCH).unwrap();
            }
            if written == EVENTS {
                break;
            }
        }
        done.store(true, Ordering::Release);
        for reader in readers {
            let (read, lost) = reader.join().unwrap();
            assert_eq!(read + lost, EVENTS);
            assert!(read > 0);
        }
    });
}

/// Reads to the end; returns how many events it saw and how many it was told are lost.
fn follow(store: &Store, done: &AtomicBool, slowness: usize) -> (u64, u64) {
    let (mut position, mut read, mut lost) = (1, 0, 0);
    loop {
        let finished = done.load(Ordering::Acquire);
        match find(store, position) {
            Read::Events(run) => read += pass(&run, &mut position),
            Read::AtTip if finished => return (read, lost),
            Read::AtTip => thread::yield_now(),
            Read::Gap(gap) => {
                assert!(gap.first_seq == Seq::new(position) && gap.next_seq > Seq::new(position));
                lost += gap.events.unwrap();
                position = gap.next_seq.get();
            }
        }
        for _ in 0..slowness * 50 {
            thread::yield_now();
        }
    }
}
