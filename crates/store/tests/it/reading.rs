use jetwash_store::{Gap, GapCause, Location, Micros, Options, Read, Seq, open};

use crate::support::{Place, START, append, event, on_both, push, push_many, read_all, tiny};

on_both!(
    events_come_back_as_they_were_pushed,
    every_position_can_be_read_from,
    pushed_events_are_invisible_until_they_are_committed,
    the_tip_changes_with_each_commit,
    commits_of_any_size_come_back,
    a_position_ahead_of_the_tip_is_a_gap_that_leads_back,
    the_hot_end_is_read_without_the_disk,
    what_is_not_hot_is_left_to_read,
    the_cache_stays_within_its_budget,
    a_block_is_shared_by_its_readers,
    tables_name_each_string_once,
    a_block_may_have_few_or_many_accounts_and_collections,
    times_are_found_exactly,
    an_empty_commit_changes_nothing,
);

fn events_come_back_as_they_were_pushed(place: &Place) {
    let (mut appender, store) = place.open(Options::default());
    let events = append(&mut appender, 2_000, 33);
    assert_eq!(read_all(&store, 1), events);
    let bounds = store.bounds();
    assert_eq!(
        (bounds.oldest_seq, bounds.next_seq, bounds.events()),
        (Seq::FIRST, Seq::new(2_001), 2_000)
    );
    assert_eq!(bounds.oldest_time_us, Some(Micros::new(events[0].time_us)));
    assert_eq!(
        bounds.newest_time_us,
        Some(Micros::new(events[1_999].time_us))
    );
}

fn every_position_can_be_read_from(place: &Place) {
    let (mut appender, store) = place.open(tiny());
    let events = append(&mut appender, 150, 3);
    for from in 1..=151 {
        assert_eq!(
            read_all(&store, from),
            events[from as usize - 1..],
            "from {from}"
        );
    }
    assert!(matches!(store.read(Seq::new(0)), Ok(Read::Events(run)) if run.indexes().start == 0));
}

fn pushed_events_are_invisible_until_they_are_committed(place: &Place) {
    let (mut appender, store) = place.open(tiny());
    let events = push_many(&mut appender, 20);
    assert!(matches!(store.read(Seq::FIRST), Ok(Read::AtTip)));
    assert!(matches!(store.read_hot(Seq::FIRST), Some(Read::AtTip)));
    assert_eq!(store.seq_at_time(Micros::new(START)).unwrap(), Seq::FIRST);
    assert_eq!(store.bounds().next_seq, Seq::FIRST);
    appender.commit().unwrap();
    assert_eq!(read_all(&store, 1), events);
}

fn the_tip_changes_with_each_commit(place: &Place) {
    let (mut appender, store) = place.open(tiny());
    let mut tip = store.tip();
    tip.mark_unchanged();
    push_many(&mut appender, 3);
    assert!(!tip.has_changed().unwrap());
    appender.commit().unwrap();
    assert!(tip.has_changed().unwrap());
    assert_eq!(*tip.borrow_and_update(), Seq::new(4));
    push_many(&mut appender, 1);
    appender.commit().unwrap();
    assert_eq!(*tip.borrow_and_update(), Seq::new(5));
    drop(appender);
    assert!(tip.has_changed().is_err());
}

fn commits_of_any_size_come_back(place: &Place) {
    let (mut appender, store) = place.open(tiny());
    let mut events = Vec::new();
    for size in [1, 7, 8, 9, 1, 16, 17, 100, 2, 5, 1, 1, 64, 3] {
        events.extend(push_many(&mut appender, size));
        appender.commit().unwrap();
        assert_eq!(read_all(&store, 1), events, "after a commit of {size}");
    }
}

fn a_position_ahead_of_the_tip_is_a_gap_that_leads_back(place: &Place) {
    let (mut appender, store) = place.open(tiny());
    append(&mut appender, 20, 5);
    for read in [
        store.read(Seq::new(22)).unwrap(),
        store.read_hot(Seq::new(22)).unwrap(),
    ] {
        let Read::Gap(gap) = read else {
            panic!("{read:?}")
        };
        assert_eq!(
            gap,
            Gap::new(Seq::new(22), Seq::new(21), GapCause::CursorAhead)
        );
    }
}

fn the_hot_end_is_read_without_the_disk(place: &Place) {
    let (mut appender, store) = place.open(tiny().hot_bytes(1 << 20));
    append(&mut appender, 100, 7);
    assert_eq!(store.usage().hot_seq, Seq::FIRST);
    let mut position = 1;
    while let Some(Read::Events(run)) = store.read_hot(Seq::new(position)) {
        assert!(run.block().has_json());
        assert!(run.block().has_compressed());
        position = run.next_seq().get();
    }
    assert_eq!(position, 101);
    assert_eq!(store.usage().cache_bytes, 0);
}

fn what_is_not_hot_is_left_to_read(place: &Place) {
    let (mut appender, store) = place.open(tiny().hot_bytes(10_000));
    append(&mut appender, 400, 7);
    let hot = store.usage().hot_seq;
    assert!(hot > Seq::FIRST, "everything is hot");
    assert!(hot < Seq::new(401), "nothing is hot");
    for from in 1..hot.get() {
        assert!(store.read_hot(Seq::new(from)).is_none(), "from {from}");
    }
    assert!(matches!(store.read_hot(hot), Some(Read::Events(_))));
    assert!(store.read_hot(Seq::new(0)).is_none());
}

fn the_cache_stays_within_its_budget(place: &Place) {
    let (mut appender, store) = place.open(tiny());
    append(&mut appender, 800, 8);
    read_all(&store, 1);
    let bytes = store.usage().cache_bytes;
    assert!(bytes > 0 && bytes <= 20_000, "{bytes}");
}

fn a_block_is_shared_by_its_readers(place: &Place) {
    let (mut appender, store) = place.open(tiny());
    append(&mut appender, 80, 8);
    let block = |from| match store.clone().read(from).unwrap() {
        Read::Events(run) => std::sync::Arc::clone(run.block()),
        other => panic!("{other:?}"),
    };
    let (one, other) = (block(Seq::new(3)), block(Seq::new(5)));
    assert!(std::sync::Arc::ptr_eq(&one, &other));
    assert!(!one.has_json());
    one.json().unwrap();
    assert!(other.has_json());
}

fn tables_name_each_string_once(place: &Place) {
    let (mut appender, store) = place.open(tiny().block_events(64));
    let events = append(&mut appender, 64, 5);
    let Ok(Read::Events(run)) = store.read(Seq::FIRST) else {
        panic!("nothing to read")
    };
    let block = run.block();
    assert_eq!(block.len(), 65.min(events.len()));
    let mut dids: Vec<&str> = block.did_table().iter().collect();
    dids.sort_unstable();
    dids.dedup();
    assert_eq!(dids.len(), 5);
    assert_eq!(block.did_table().len(), 5);
    assert_eq!(block.collection_table().len(), 4);
    for (index, event) in events.iter().enumerate() {
        let did = block.did_indexes()[index] as usize;
        let collection = block.collection_indexes()[index] as usize;
        assert_eq!(block.did_table().get(did), Some(event.did.as_str()));
        assert_eq!(
            block.collection_table().get(collection),
            Some(event.collection.as_str())
        );
        assert_eq!(block.kinds()[index], event.kind);
        assert_eq!(block.times()[index], Micros::new(event.time_us));
    }
}

fn times_are_found_exactly(place: &Place) {
    let (mut appender, store) = place.open(tiny());
    assert_eq!(store.seq_at_time(Micros::EPOCH).unwrap(), Seq::FIRST);
    let events = append(&mut appender, 150, 3);
    for event in &events {
        assert_eq!(
            store.seq_at_time(Micros::new(event.time_us)).unwrap(),
            Seq::new(event.seq)
        );
        assert_eq!(
            store.seq_at_time(Micros::new(event.time_us - 1)).unwrap(),
            Seq::new(event.seq)
        );
        assert_eq!(
            store.seq_at_time(Micros::new(event.time_us + 1)).unwrap(),
            Seq::new(event.seq + 1)
        );
    }
    assert_eq!(store.seq_at_time(Micros::EPOCH).unwrap(), Seq::FIRST);
    assert_eq!(
        store.seq_at_time(Micros::new(u64::MAX)).unwrap(),
        Seq::new(151)
    );
}

fn an_empty_commit_changes_nothing(place: &Place) {
    let (mut appender, store) = place.open(tiny());
    append(&mut appender, 5, 5);
    let mut tip = store.tip();
    tip.mark_unchanged();
    appender.commit().unwrap();
    assert!(!tip.has_changed().unwrap());
    assert_eq!(store.bounds().next_seq, Seq::new(6));
}

#[test]
fn two_rings_in_memory_know_nothing_of_each_other() {
    let (mut appender, _) = open(Location::Memory, tiny()).unwrap();
    append(&mut appender, 5, 5);
    let (_, other) = open(Location::Memory, tiny()).unwrap();
    assert_eq!(other.bounds().events(), 0);
}

/// Up to 256 of them, one byte says which an event has.
fn a_block_may_have_few_or_many_accounts_and_collections(place: &Place) {
    let options = || {
        tiny()
            .block_events(600)
            .bucket_events(1_200)
            .cache_bytes(1_000_000)
    };
    let mut events = Vec::new();
    let (mut appender, store) = place.open(options());
    for distinct in [1, 255, 256, 257, 600] {
        for number in 0..600 {
            let seq = appender.next_seq();
            let mut made = event(seq.get(), appender.next_time_us(Micros::new(START)).get());
            made.did = format!("did:web:{}.example", number % distinct);
            if !made.collection.is_empty() {
                made.collection = format!("com.example.c{}", number % distinct);
            }
            push(&mut appender, &made, None);
            events.push(made);
        }
        appender.commit().unwrap();
    }
    assert_eq!(read_all(&store, 1), events);
    drop((appender, store));
    if place.is_disk() {
        assert_eq!(read_all(&place.open(options()).1, 1), events);
    }
}
