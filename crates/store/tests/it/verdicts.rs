//! The verdict of an event comes back as it was pushed, and costs next to nothing.

use jetwash_store::{Appender, CommitPart, Options};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::support::{
    Event, Place, START, compress, dictionary, event, on_both, push, read_all, tiny,
};

on_both!(
    verdicts_come_back_whatever_they_are,
    a_verdict_of_each_code_comes_back
);

/// The verdicts of the events of a few blocks, one shape after the other.
fn columns() -> impl Strategy<Value = Vec<u8>> {
    let length = 1..120_usize;
    let code = || prop_oneof![Just(0_u8), Just(1), Just(2), Just(0x41), any::<u8>()];
    let same = (code(), length.clone()).prop_map(|(code, length)| vec![code; length]);
    let in_turns = ([code(), code()], length.clone())
        .prop_map(|(codes, length)| codes.into_iter().cycle().take(length).collect());
    let mixed = prop::collection::vec(code(), length.clone());
    let few = (code(), code(), length, any::<prop::sample::Index>());
    let one_other = few.prop_map(|(code, other, length, at)| {
        let mut codes = vec![code; length];
        codes[at.index(length)] = other;
        codes
    });
    let shapes = prop_oneof![same, in_turns, mixed, one_other];
    prop::collection::vec(shapes, 1..5).prop_map(|shapes| shapes.concat())
}

/// Events with these verdicts. Some are parts of commits, so that the columns stand side by side.
fn with(verdicts: &[u8], parts: &[u8]) -> Vec<Event> {
    let made = |(number, verdict): (u64, &u8)| {
        let len = u32::from(parts[number as usize % parts.len()]);
        let commit = CommitPart {
            index: (number as u32) % len,
            len,
        };
        let mut made = event(number, START + number);
        made.verdict = *verdict;
        made.commit = made.commit.map(|_| commit);
        made
    };
    (1..).zip(verdicts).map(made).collect()
}

fn fill(appender: &mut Appender, events: &[Event], per_commit: &[u8], is_packed: bool) {
    let packer = is_packed.then(|| dictionary(7));
    if let Some(packer) = &packer {
        appender.set_dictionary(packer).unwrap();
    }
    let mut sizes = per_commit.iter().cycle();
    let mut left = *sizes.next().unwrap();
    for made in events {
        let packed = packer.as_ref().map(|packer| compress(packer, &made.json));
        push(appender, made, packed.as_deref());
        left -= 1;
        if left == 0 {
            appender.commit().unwrap();
            left = *sizes.next().unwrap();
        }
    }
    appender.commit().unwrap();
}

/// Through the pieces of the tail, the blocks that they are merged to, and both of them read again.
fn verdicts_come_back_whatever_they_are(place: &Place) {
    let small = prop::collection::vec(1..40_u8, 1..6);
    let strategy = (
        columns(),
        small,
        prop::collection::vec(1..4_u8, 1..6),
        any::<bool>(),
    );
    let config = ProptestConfig {
        cases: if place.is_disk() { 40 } else { 200 },
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let options = Options::default()
        .block_events(32)
        .bucket_events(100)
        .hot_bytes(1)
        .cache_bytes(20_000);
    let result = TestRunner::new(config).run(&strategy, |(verdicts, sizes, parts, is_packed)| {
        let place = if place.is_disk() {
            Place::disk()
        } else {
            Place::memory()
        };
        let events = with(&verdicts, &parts);
        let (mut appender, store) = place.open(options.clone());
        fill(&mut appender, &events, &sizes, is_packed);
        prop_assert_eq!(&read_all(&store, 1), &events);
        drop((appender, store));
        if place.is_disk() {
            let (_appender, store) = place.open(options.clone());
            prop_assert_eq!(&read_all(&store, 1), &events);
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

fn a_verdict_of_each_code_comes_back(place: &Place) {
    let verdicts: Vec<u8> = (0..=u8::MAX).collect();
    let events = with(&verdicts, &[1]);
    let (mut appender, store) = place.open(tiny());
    fill(&mut appender, &events, &[5], false);
    assert_eq!(read_all(&store, 1), events);
}

/// The bytes that a block of 512 events takes on disk.
fn bytes_of_a_block(verdict: impl Fn(u64) -> u8) -> u64 {
    let place = Place::disk();
    let (mut appender, store) = place.open(Options::default().block_events(512));
    for number in 1..=512 {
        let mut made = event(number, START + number);
        made.verdict = verdict(number);
        push(&mut appender, &made, None);
    }
    appender.commit().unwrap();
    let bytes = store.bounds().bytes;
    println!("{bytes} bytes");
    bytes
}

#[test]
fn a_verdict_costs_next_to_nothing_on_disk() {
    let none = bytes_of_a_block(|_| 0);
    assert_eq!(bytes_of_a_block(|_| 1) - none, 2);
    // Five events of 512, each no more than 127 behind the one before it: three bytes each.
    let few = bytes_of_a_block(|number| if number % 100 == 0 { 3 } else { 1 });
    assert_eq!(few - none, 2 + 5 * 3);
    let in_turns = bytes_of_a_block(|number| (number % 2) as u8);
    assert_eq!(in_turns - none, 513);
}
