//! A mirror has what its origin has, at the same positions.

use std::time::Duration;

use jetwash_dict::Dictionary;
use jetwash_store::{
    Appender, Block, CommitPart, Gap, GapCause, Location, LogId, LogMessage, Micros, MirrorError,
    NewEvent, Options, PushError, Read, Retention, Seq, Store, UpstreamGap, open,
};

use crate::support::{
    Event, Place, START, append, compress, dictionary, event, folder, on_both, push, push_many,
    taken, tiny,
};

on_both!(
    a_mirror_has_the_events_of_its_origin,
    a_mirror_has_the_compressed_bytes_and_the_dictionaries,
    a_mirror_that_begins_late_skips_what_was_trimmed,
    a_mirror_goes_on_within_a_block,
    a_ring_with_events_of_its_own_becomes_no_mirror,
    a_mirror_takes_no_events_of_its_own,
    a_mirror_that_serves_before_it_has_a_log_names_that_before_its_events,
);

/// All that a reader meets, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Met {
    Event(Event, Option<(u32, Vec<u8>)>),
    Gap(Gap),
}

/// Reads as every reader does, from a position on.
pub(crate) fn met(store: &Store, from: Seq) -> Vec<Met> {
    let (mut position, mut met) = (from, Vec::new());
    loop {
        match store.read(position).unwrap() {
            Read::Events(run) => {
                met.extend(run.gaps().iter().cloned().map(Met::Gap));
                let indexes = run.indexes();
                met.extend(indexes.map(|index| whole(run.block(), index)));
                position = run.next_seq();
            }
            Read::AtTip => return met,
            Read::Gap(mut gap) => {
                let upstream = store.noted_gaps(gap.first_seq, gap.next_seq);
                position = gap.next_seq;
                // What is wrong with a block is known where it is.
                gap.detail = None;
                met.push(Met::Gap(gap));
                met.extend(upstream.into_iter().map(Met::Gap));
            }
        }
    }
}

fn whole(block: &Block, index: usize) -> Met {
    let compressed = block.compressed().unwrap();
    let compressed = compressed.map(|page| page.get(index).unwrap().to_vec());
    Met::Event(
        taken(block, index).unwrap(),
        block.dictionary_id().zip(compressed),
    )
}

/// Has the mirror take over everything that the origin has from the mirror's end on, and commit now
/// and then. Returns the messages.
pub(crate) fn follow(origin: &Store, mirror: &mut Appender) -> Vec<LogMessage> {
    let mut stream = origin.log_stream(mirror.next_seq());
    let mut messages = Vec::new();
    while let Some(bytes) = stream.next().unwrap() {
        let message = LogMessage::decode(bytes.clone()).unwrap();
        assert_eq!(message.encode(), bytes);
        mirror.apply(&message).unwrap();
        messages.push(message);
        if messages.len() % 3 == 0 {
            mirror.commit().unwrap();
        }
    }
    mirror.commit().unwrap();
    assert_eq!(stream.position(), mirror.next_seq());
    messages
}

/// Pushes events that are compressed, and commits them.
pub(crate) fn append_compressed(appender: &mut Appender, count: u64, dictionary: &Dictionary) {
    appender.set_dictionary(dictionary).unwrap();
    for _ in 0..count {
        let seq = appender.next_seq().get();
        let made = event(seq, START + seq * 1_000);
        push(appender, &made, Some(&compress(dictionary, &made.json)));
    }
    appender.commit().unwrap();
}

/// An empty mirror beside a place, of the same kind.
fn mirror_of(origin: &Store, place: &Place) -> (Place, Appender, Store) {
    let other = if place.is_disk() {
        Place::disk()
    } else {
        Place::memory()
    };
    let (mut appender, store) = other.open(tiny());
    appender.become_mirror(origin.log_id()).unwrap();
    assert!(store.is_mirror() && store.log_id() == origin.log_id());
    (other, appender, store)
}

fn same(origin: &Store, mirror: &Store) {
    assert_eq!(met(mirror, Seq::FIRST), met(origin, Seq::FIRST));
    let (own, other) = (mirror.bounds(), origin.bounds());
    assert_eq!(own.next_seq, other.next_seq);
    assert_eq!(own.newest_time_us, other.newest_time_us);
}

fn a_mirror_has_the_events_of_its_origin(place: &Place) {
    let (mut appender, origin) = place.open(tiny());
    let (_other, mut mirror, store) = mirror_of(&origin, place);
    for count in [1, 100, 7, 300] {
        append(&mut appender, count, 5);
        follow(&origin, &mut mirror);
        same(&origin, &store);
    }
    assert_eq!(store.bounds().events(), 408);
}

fn a_mirror_has_the_compressed_bytes_and_the_dictionaries(place: &Place) {
    let (mut appender, origin) = place.open(tiny());
    let (_other, mut mirror, store) = mirror_of(&origin, place);
    let (one, two) = (dictionary(7), dictionary(8));
    append(&mut appender, 11, 3);
    append_compressed(&mut appender, 50, &one);
    follow(&origin, &mut mirror);
    append_compressed(&mut appender, 50, &two);
    append(&mut appender, 5, 5);
    append_compressed(&mut appender, 50, &one);
    let messages = follow(&origin, &mut mirror);
    same(&origin, &store);
    assert_eq!(store.dictionaries(), [two, one]);
    let sent = messages
        .iter()
        .filter(|message| matches!(message, LogMessage::Dictionary { .. }));
    assert_eq!(sent.count(), 2);
}

fn a_mirror_that_begins_late_skips_what_was_trimmed(place: &Place) {
    let options = tiny().retention(Retention {
        max_age: Some(Duration::from_millis(100)),
        max_bytes: None,
    });
    let (mut appender, origin) = place.open(options);
    append(&mut appender, 400, 9);
    appender
        .trim_after(Micros::new(START + 400_000), Duration::MAX)
        .unwrap();
    let oldest = origin.bounds().oldest_seq;
    assert!(oldest > Seq::FIRST);
    let (_other, mut mirror, store) = mirror_of(&origin, place);
    follow(&origin, &mut mirror);
    same(&origin, &store);
    assert_eq!(store.bounds().oldest_seq, oldest);
    let gap = Gap::new(Seq::FIRST, oldest, GapCause::Trimmed).events(oldest.get() - 1);
    assert_eq!(met(&store, Seq::FIRST)[0], Met::Gap(gap));
}

fn a_mirror_goes_on_within_a_block(place: &Place) {
    let (mut appender, origin) = place.open(Options::default());
    let (_other, mut mirror, store) = mirror_of(&origin, place);
    append_compressed(&mut appender, 5, &dictionary(7));
    follow(&origin, &mut mirror);
    // Now the tail becomes a block, in the middle of which the mirror is.
    append_compressed(&mut appender, 600, &dictionary(7));
    let messages = follow(&origin, &mut mirror);
    let first = messages.iter().find_map(|message| match message {
        LogMessage::Events(events) => Some(events.first_seq()),
        _ => None,
    });
    assert_eq!(first, Some(Seq::new(6)));
    same(&origin, &store);
}

fn a_ring_with_events_of_its_own_becomes_no_mirror(place: &Place) {
    let (_appender, origin) = Place::memory().open(tiny());
    let (mut appender, store) = place.open(tiny());
    let id = store.log_id();
    push_many(&mut appender, 1);
    let refused = appender.become_mirror(origin.log_id());
    assert!(matches!(refused, Err(MirrorError::NotEmpty { .. })));
    appender.commit().unwrap();
    let refused = appender.become_mirror(id);
    assert!(matches!(refused, Err(MirrorError::NotEmpty { .. })));
    assert!(!store.is_mirror());
    assert_eq!(store.log_id(), id);
    let tip = LogMessage::tip(Seq::FIRST, Seq::new(9));
    assert!(matches!(appender.apply(&tip), Err(MirrorError::NotMirror)));
}

fn a_mirror_takes_no_events_of_its_own(place: &Place) {
    let (_appender, origin) = Place::memory().open(tiny());
    let (_other, mut mirror, _store) = mirror_of(&origin, place);
    let made = event(1, 1);
    let own = NewEvent {
        kind: made.kind,
        did: &made.did,
        collection: &made.collection,
        commit: CommitPart::WHOLE,
        source: "",
        verdict: 0,
        time_us: Micros::new(1),
        json: &made.json,
        compressed: None,
    };
    assert_eq!(mirror.push(&own), Err(PushError::Mirror));
    assert_eq!(mirror.next_seq(), Seq::FIRST);
}

/// Its own mirrors may be connected before it has ever reached its origin.
fn a_mirror_that_serves_before_it_has_a_log_names_that_before_its_events(place: &Place) {
    let (mut appender, origin) = Place::memory().open(tiny());
    append(&mut appender, 5, START);
    let (mut mirror, store) = place.open(tiny());
    let mut stream = store.log_stream(Seq::FIRST);
    let mut next = || {
        stream
            .next()
            .unwrap()
            .map(|bytes| LogMessage::decode(bytes).unwrap())
    };
    let Some(LogMessage::Hello { log, next_seq, .. }) = next() else {
        panic!("a greeting");
    };
    assert_ne!(log, origin.log_id());
    assert_eq!(next_seq, Seq::FIRST);
    assert_eq!(next(), None);
    mirror.become_mirror(origin.log_id()).unwrap();
    follow(&origin, &mut mirror);
    let mut messages = Vec::new();
    while let Some(message) = next() {
        messages.push(message);
    }
    let greeted = |message: &LogMessage| match message {
        LogMessage::Hello { log, .. } => Some(*log),
        _ => None,
    };
    assert_eq!(messages.first().and_then(greeted), Some(origin.log_id()));
    assert_eq!(messages.iter().filter_map(greeted).count(), 1);
    assert!(messages.len() > 1);
    assert_eq!(stream.events(), 5);
}

#[test]
fn a_mirror_stays_one_over_restarts() {
    let place = Place::disk();
    let (mut appender, origin) = Place::memory().open(tiny());
    append(&mut appender, 60, 7);
    let open = || place.open(tiny());
    let (mut mirror, store) = open();
    mirror.become_mirror(origin.log_id()).unwrap();
    drop((mirror, store));
    for _ in 0..3 {
        let (mut mirror, store) = open();
        assert!(store.is_mirror());
        assert_eq!(store.log_id(), origin.log_id());
        mirror.become_mirror(origin.log_id()).unwrap();
        follow(&origin, &mut mirror);
        same(&origin, &store);
        append_compressed(&mut appender, 30, &dictionary(7));
        appender.note_gap(
            GapCause::UpstreamJump,
            Some(3),
            Some(UpstreamGap::new("wss://relay.example/", Some(4), Some(7))),
        );
        append(&mut appender, 3, 3);
    }
}

#[test]
fn a_mirror_is_refused_by_what_knows_no_mirrors() {
    let path = folder();
    let location = || Location::Disk(path.path().to_owned());
    let (mut mirror, store) = open(location(), tiny()).unwrap();
    let version = || {
        let database = fjall::Database::builder(path.path()).open().unwrap();
        let state = database.keyspace("state", Default::default).unwrap();
        state.get("version").unwrap().unwrap().to_vec()
    };
    drop((mirror, store));
    assert_eq!(version(), 5_u32.to_le_bytes());
    (mirror, _) = open(location(), tiny()).unwrap();
    mirror.become_mirror(LogId::from_number(9)).unwrap();
    drop(mirror);
    assert_eq!(version(), 6_u32.to_le_bytes());
}
