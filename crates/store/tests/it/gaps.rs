//! A gap of an upstream is kept with the events around it, and readers that come there are told.

use jetwash_store::{
    Appender, Gap, GapCause, Location, Micros, Read, Retention, Seq, Store, UpstreamGap, open,
};

use crate::random::Random;
use crate::support::{Place, START, append, on_both, push_many, tiny};

on_both!(
    a_gap_of_an_upstream_is_told_before_the_event_behind_it,
    a_gap_is_told_once_there_is_an_event_behind_it,
    gaps_of_one_place_cause_and_source_are_one,
    the_newest_1024_are_kept,
    a_gap_is_forgotten_with_the_events_around_it,
);

fn outdated(source: &str, first: u64, next: u64) -> UpstreamGap {
    UpstreamGap::new(source, Some(first), Some(next))
}

/// Reads from a position on: events by position, and gaps.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Met {
    Event(u64),
    Gap(Gap),
}

/// Reads as every reader does.
fn read(store: &Store, from: u64) -> Vec<Met> {
    let (mut position, mut met) = (from, Vec::new());
    loop {
        match store.read(Seq::new(position)).unwrap() {
            Read::Events(run) => {
                met.extend(run.gaps().iter().cloned().map(Met::Gap));
                let first = run.block().first_seq();
                met.extend(
                    run.indexes()
                        .map(|index| Met::Event(first.get() + index as u64)),
                );
                assert_eq!(met.last(), Some(&Met::Event(run.next_seq().get() - 1)));
                position = run.next_seq().get();
            }
            Read::AtTip => return met,
            Read::Gap(gap) => {
                assert_eq!(gap.first_seq, Seq::new(position));
                let noted = store.noted_gaps(gap.first_seq, gap.next_seq);
                position = gap.next_seq.get();
                met.push(Met::Gap(gap));
                met.extend(noted.into_iter().map(Met::Gap));
            }
        }
    }
}

fn reopen(place: &Place, ring: (Appender, Store)) -> (Appender, Store) {
    if !place.is_disk() {
        return ring;
    }
    drop(ring);
    place.open(tiny())
}

fn a_gap_of_an_upstream_is_told_before_the_event_behind_it(place: &Place) {
    let (mut appender, store) = place.open(tiny());
    push_many(&mut appender, 3);
    let upstream = outdated("wss://relay.example/", 10, 20).did("did:web:example.com");
    appender.note_gap(GapCause::UpstreamOutdated, Some(10), Some(upstream.clone()));
    push_many(&mut appender, 2);
    appender.commit().unwrap();
    append(&mut appender, 100, 3);
    let (_appender, store) = reopen(place, (appender, store));
    let mut gap = Gap::new(Seq::new(4), Seq::new(4), GapCause::UpstreamOutdated).events(10);
    gap.upstream = Some(upstream);
    let mut expected: Vec<_> = (1..=3).map(Met::Event).collect();
    expected.push(Met::Gap(gap.clone()));
    expected.extend((4..=105).map(Met::Event));
    assert_eq!(read(&store, 1), expected);
    assert_eq!(read(&store, 4), expected[3..]);
    assert_eq!(read(&store, 5), expected[5..]);
    assert_eq!(
        gap.to_string(),
        "the upstream no longer had what was asked for at position 4: wss://relay.example/, its \
         numbers 10 to 19, account did:web:example.com (10 events are missing)"
    );
}

fn a_gap_is_told_once_there_is_an_event_behind_it(place: &Place) {
    let (mut appender, store) = place.open(tiny());
    append(&mut appender, 3, 3);
    appender.note_gap(GapCause::UpstreamSteppedOver, None, None);
    // Nothing but the gap.
    appender.commit().unwrap();
    let (mut appender, store) = reopen(place, (appender, store));
    assert!(matches!(store.read(Seq::new(4)), Ok(Read::AtTip)));
    append(&mut appender, 1, 1);
    let gap = Gap::new(Seq::new(4), Seq::new(4), GapCause::UpstreamSteppedOver);
    assert_eq!(read(&store, 4), [Met::Gap(gap), Met::Event(4)]);
}

fn gaps_of_one_place_cause_and_source_are_one(place: &Place) {
    let (mut appender, store) = place.open(tiny());
    let source = "wss://relay.example/";
    let cause = GapCause::UpstreamJump;
    appender.note_gap(cause, Some(5), Some(outdated(source, 10, 15)));
    appender.note_gap(cause, Some(2), Some(outdated(source, 15, 17)));
    appender.note_gap(cause, None, Some(outdated("wss://other.example/", 1, 2)));
    appender.note_gap(GapCause::UpstreamOutdated, None, None);
    appender.commit().unwrap();
    let (mut appender, store) = reopen(place, (appender, store));
    appender.note_gap(cause, Some(1), Some(outdated(source, 17, 18)));
    appender.commit().unwrap();
    append(&mut appender, 1, 1);
    let (_appender, store) = reopen(place, (appender, store));
    let gap = |cause, upstream| {
        let mut gap = Gap::new(Seq::FIRST, Seq::FIRST, cause);
        gap.upstream = upstream;
        gap
    };
    let expected = [
        gap(cause, Some(outdated(source, 10, 18))).events(8),
        gap(cause, Some(outdated("wss://other.example/", 1, 2))),
        gap(GapCause::UpstreamOutdated, None),
    ];
    let mut expected = expected.map(Met::Gap).to_vec();
    expected.push(Met::Event(1));
    assert_eq!(read(&store, 1), expected);
}

fn the_newest_1024_are_kept(place: &Place) {
    let (mut appender, store) = place.open(tiny());
    for _ in 0..120 {
        for _ in 0..10 {
            appender.note_gap(GapCause::Discontinuous, None, None);
            push_many(&mut appender, 1);
        }
        appender.commit().unwrap();
    }
    let expected: Vec<u64> = (1_200 - 1_023..=1_200).collect();
    let told = |store: &Store| -> Vec<u64> {
        let gaps = store.noted_gaps(Seq::new(0), Seq::MAX).into_iter();
        gaps.map(|gap| gap.first_seq.get()).collect()
    };
    assert_eq!(told(&store), expected);
    // Without a commit in between there is no end to them either.
    for _ in 0..2_000 {
        appender.note_gap(GapCause::Discontinuous, None, None);
        push_many(&mut appender, 1);
    }
    appender.commit().unwrap();
    let (_appender, store) = reopen(place, (appender, store));
    let expected: Vec<u64> = (3_200 - 1_023..=3_200).collect();
    assert_eq!(told(&store), expected);
}

fn a_gap_is_forgotten_with_the_events_around_it(place: &Place) {
    let retention = Retention {
        max_age: Some(std::time::Duration::from_millis(100)),
        max_bytes: None,
    };
    let options = || tiny().retention(retention);
    let (mut appender, store) = place.open(options());
    for _ in 0..30 {
        appender.note_gap(GapCause::UpstreamJump, None, None);
        append(&mut appender, 10, 5);
    }
    appender.trim(Micros::new(START + 300_000)).unwrap();
    let oldest = store.bounds().oldest_seq;
    let expected: Vec<u64> = (0..30)
        .map(|n| n * 10 + 1)
        .filter(|at| *at >= oldest.get())
        .collect();
    assert!((1..30).contains(&expected.len()));
    let ring = if place.is_disk() {
        drop((appender, store));
        place.open(options())
    } else {
        (appender, store)
    };
    let told = ring.1.noted_gaps(Seq::new(0), Seq::MAX).into_iter();
    assert_eq!(
        told.map(|gap| gap.first_seq.get()).collect::<Vec<_>>(),
        expected
    );
    let mut positions = read(&ring.1, 1).into_iter();
    let trimmed = Gap::new(Seq::FIRST, oldest, GapCause::Trimmed).events(oldest.get() - 1);
    assert_eq!(positions.next(), Some(Met::Gap(trimmed)));
}

/// Any reader gets each event that there is once, and is told of each gap that it comes to once:
/// of upstreams, of positions that a power failure took, of damaged blocks, of what was trimmed.
#[cfg(unix)]
#[test]
fn whatever_happens_every_reader_gets_every_event_and_every_gap_once() {
    for seed in 0..12 {
        let mut random = Random(seed);
        let place = Place::disk();
        let options = || tiny().durability(jetwash_store::Durability::Buffered);
        let (mut ring, mut notes, mut events) = (place.open(options()), Vec::new(), Vec::new());
        for _ in 0..60 {
            match random.below(8) {
                0..=3 => {
                    let many = append(&mut ring.0, 1 + random.below(20), 1 + random.below(9));
                    events.extend(many.iter().map(|event| event.seq));
                }
                4 | 5 => {
                    // Each another one, even at the same place.
                    let source = format!("wss://relay{}.example/", notes.len());
                    let upstream = outdated(&source, 1, 2);
                    ring.0
                        .note_gap(GapCause::UpstreamJump, None, Some(upstream));
                    notes.push((ring.0.next_seq().get(), source));
                    if random.below(2) == 0 {
                        ring.0.commit().unwrap();
                    }
                }
                6 => {
                    ring.0.commit().unwrap();
                    drop(ring);
                    ring = place.open(options());
                }
                _ => {
                    ring.0.commit().unwrap();
                    crate::restart::fail_power(&place, ring);
                    ring = place.open(options());
                }
            }
        }
        events.extend(append(&mut ring.0, 80, 8).iter().map(|event| event.seq));
        drop(ring);
        let damaged = damage_a_block(&place, &mut random);
        let (_appender, store) = open(Location::Disk(place.path().to_owned()), options()).unwrap();
        let tip = store.bounds().next_seq;
        events.retain(|seq| !damaged.contains(seq));
        for _ in 0..30 {
            let around = events[random.below(events.len() as u64) as usize];
            check_reader(&store, around + random.below(3), tip.get(), &events, &notes);
        }
        check_reader(&store, 1, tip.get(), &events, &notes);
    }
}

#[cfg(unix)]
fn check_reader(store: &Store, from: u64, tip: u64, events: &[u64], notes: &[(u64, String)]) {
    let met = read(store, from);
    let mut seen = Vec::new();
    let mut told = Vec::new();
    let mut position = from;
    for item in met {
        match item {
            Met::Event(seq) => {
                assert_eq!(seq, position, "neither left out nor repeated");
                seen.push(seq);
                position += 1;
            }
            Met::Gap(gap) if gap.upstream.is_none() => {
                assert_eq!(gap.first_seq, Seq::new(position));
                assert!(gap.next_seq > Seq::new(position));
                position = gap.next_seq.get();
            }
            Met::Gap(gap) => {
                assert!(gap.first_seq <= Seq::new(position), "told too early");
                told.push((
                    gap.first_seq.get(),
                    gap.upstream.unwrap().source.to_string(),
                ));
            }
        }
    }
    assert_eq!(position, tip.max(from));
    let expected: Vec<u64> = events.iter().copied().filter(|seq| *seq >= from).collect();
    assert_eq!(seen, expected);
    let expected: Vec<_> = notes
        .iter()
        .filter(|note| note.0 >= from)
        .cloned()
        .collect();
    assert_eq!(told, expected, "from {from}");
}

/// Changes the index of a block behind the ring's back. Gives its positions.
#[cfg(unix)]
fn damage_a_block(place: &Place, random: &mut Random) -> std::ops::Range<u64> {
    let database = fjall::Database::builder(place.path()).open().unwrap();
    let bucket = database
        .keyspace("bucket-00000000000000000001", Default::default)
        .unwrap();
    let keys: Vec<_> = bucket.iter().map(|guard| guard.key().unwrap()).collect();
    let indexes: Vec<_> = keys.iter().filter(|key| key.last() == Some(&0)).collect();
    let chosen = indexes[random.below(indexes.len() as u64) as usize];
    let index = bucket.get(chosen).unwrap().unwrap();
    let count = u64::from(u32::from_le_bytes(index[4..8].try_into().unwrap()));
    let first = u64::from_be_bytes(chosen[..8].try_into().unwrap());
    bucket.insert(chosen.to_vec(), "changed").unwrap();
    first..first + count
}
