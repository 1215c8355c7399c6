use jetwash_store::{Micros, PushError, Seq};
use std::time::Duration;

use crate::support::{Place, START, append, event, on_both, push, push_many, read_all, tiny};

on_both!(
    positions_begin_at_one_and_leave_none_out,
    time_goes_on_when_the_clock_goes_back,
    a_time_that_is_not_above_the_last_is_refused,
    parts_that_are_too_long_are_refused,
);

fn positions_begin_at_one_and_leave_none_out(place: &Place) {
    let (mut appender, store) = place.open(tiny());
    assert_eq!(appender.next_seq(), Seq::FIRST);
    let events = append(&mut appender, 100, 9);
    assert_eq!(
        events.iter().map(|event| event.seq).collect::<Vec<_>>(),
        (1..=100).collect::<Vec<_>>()
    );
    assert_eq!(read_all(&store, 1), events);
}

fn time_goes_on_when_the_clock_goes_back(place: &Place) {
    let (mut appender, _store) = place.open(tiny());
    assert_eq!(
        appender.next_time_us(Micros::new(START)),
        Micros::new(START)
    );
    push(&mut appender, &event(1, START), None);
    assert_eq!(
        appender.next_time_us(Micros::new(START - 5_000_000)),
        Micros::new(START + 1)
    );
    assert_eq!(
        appender.next_time_us(Micros::new(START)),
        Micros::new(START + 1)
    );
    assert_eq!(
        appender.next_time_us(Micros::new(START + 7)),
        Micros::new(START + 7)
    );
}

fn a_time_that_is_not_above_the_last_is_refused(place: &Place) {
    let (mut appender, store) = place.open(tiny());
    let first = event(1, START);
    push(&mut appender, &first, None);
    for time_us in [0, START - 1, START] {
        let late = event(2, time_us);
        let error = appender.push(&jetwash_store::NewEvent {
            kind: late.kind,
            did: &late.did,
            collection: &late.collection,
            commit: jetwash_store::CommitPart::WHOLE,
            source: late.source,
            verdict: 0,
            time_us: Micros::new(time_us),
            json: &late.json,
            compressed: None,
        });
        assert_eq!(
            error,
            Err(PushError::TimeOrder {
                time_us: Micros::new(time_us),
                last_time_us: Micros::new(START)
            })
        );
    }
    let second = event(2, START + 1);
    assert_eq!(push(&mut appender, &second, None), 2);
    appender.commit().unwrap();
    assert_eq!(read_all(&store, 1), [first, second]);
}

fn parts_that_are_too_long_are_refused(place: &Place) {
    let (mut appender, store) = place.open(tiny());
    let long = "x".repeat(1 << 16);
    let json = vec![b' '; (16 << 20) + 1];
    let plain = jetwash_store::NewEvent {
        kind: jetwash_store::EventKind::Create,
        did: "did:web:example.com",
        collection: "app.bsky.feed.post",
        commit: jetwash_store::CommitPart::WHOLE,
        source: "wss://relay.example/",
        verdict: 0,
        time_us: Micros::new(START),
        json: b"{}",
        compressed: None,
    };
    for (part, refused) in [
        (
            "DID",
            jetwash_store::NewEvent {
                did: &long,
                ..plain
            },
        ),
        (
            "collection",
            jetwash_store::NewEvent {
                collection: &long,
                ..plain
            },
        ),
        (
            "source",
            jetwash_store::NewEvent {
                source: &long,
                ..plain
            },
        ),
        (
            "JSON",
            jetwash_store::NewEvent {
                json: &json,
                ..plain
            },
        ),
    ] {
        match appender.push(&refused) {
            Err(PushError::TooLong { part: named, .. }) => assert_eq!(named, part),
            other => panic!("{part}: {other:?}"),
        }
    }
    let part = jetwash_store::CommitPart { index: 3, len: 3 };
    let beyond = jetwash_store::NewEvent {
        commit: part,
        ..plain
    };
    assert_eq!(appender.push(&beyond), Err(PushError::CommitPart { part }));
    let framed = jetwash_store::NewEvent {
        compressed: Some(b"frame"),
        ..plain
    };
    assert_eq!(appender.push(&framed), Err(PushError::NoDictionary));
    assert_eq!(appender.push(&plain), Ok(Seq::FIRST));
    appender.commit().unwrap();
    assert_eq!(store.bounds().events(), 1);
}

#[test]
fn reopening_goes_on_where_the_ring_ended() {
    let place = Place::disk();
    let mut events = Vec::new();
    for count in [1, 7, 8, 40, 41, 3, 120] {
        let (mut appender, store) = place.open(tiny());
        assert_eq!(read_all(&store, 1), events);
        assert_eq!(appender.next_seq(), Seq::new(events.len() as u64 + 1));
        let last = events
            .last()
            .map_or(0, |event: &crate::support::Event| event.time_us);
        assert_eq!(appender.next_time_us(Micros::EPOCH), Micros::new(last + 1));
        events.extend(append(&mut appender, count, 5));
        assert_eq!(read_all(&store, 1), events);
    }
}

#[test]
fn positions_go_on_after_an_emptied_ring_is_reopened() {
    let place = Place::disk();
    let (mut appender, store) = place.open(tiny());
    let last = append(&mut appender, 100, 9).pop().unwrap();
    let trimmed = appender
        .trim_after(
            Micros::new(last.time_us + 48 * 3_600_000_000),
            Duration::MAX,
        )
        .unwrap();
    assert_eq!((trimmed.events, trimmed.oldest_seq), (100, Seq::new(101)));
    assert_eq!(store.bounds().events(), 0);
    assert_eq!(store.bounds().oldest_time_us, None);
    drop((appender, store));

    let (mut appender, store) = place.open(tiny());
    assert_eq!(store.bounds().events(), 0);
    assert_eq!(appender.next_seq(), Seq::new(101));
    assert_eq!(
        appender.next_time_us(Micros::EPOCH),
        Micros::new(last.time_us + 1)
    );
    let events = append(&mut appender, 3, 3);
    assert_eq!(read_all(&store, 101), events);
}

#[test]
fn cursors_are_kept_with_the_events() {
    let place = Place::disk();
    let (mut appender, store) = place.open(tiny());
    assert_eq!(appender.cursor("wss://a.example"), None);
    push_many(&mut appender, 2);
    appender.set_cursor("wss://a.example", 10);
    appender.set_cursor("wss://b.example", 20);
    appender.commit().unwrap();
    appender.set_cursor("wss://a.example", 11);
    appender.commit().unwrap();
    push_many(&mut appender, 2);
    appender.set_cursor("wss://b.example", 21);
    assert_eq!(appender.cursor("wss://b.example"), Some(21));
    drop((appender, store));

    let (appender, store) = place.open(tiny());
    assert_eq!(
        appender.cursors().collect::<Vec<_>>(),
        [("wss://a.example", 11), ("wss://b.example", 20)]
    );
    assert_eq!(store.bounds().events(), 2);
}
