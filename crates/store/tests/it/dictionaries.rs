use std::sync::Arc;
use std::time::Duration;

use jetwash_dict::Dictionary;
use jetwash_store::{Appender, Block, Micros, Read, Retention, Seq, Store, StoreError};

use crate::support::{
    Event, Place, START, append, compress, decompress, dictionary, event, on_both, push, read_all,
    tiny,
};

on_both!(
    frames_and_json_come_back,
    some_events_come_back_as_json,
    few_events_are_unpacked_alone,
    several_dictionaries_share_a_ring,
    blocks_are_of_one_form,
    dictionaries_go_with_their_last_event,
    a_number_stands_for_one_dictionary,
);

fn append_framed(appender: &mut Appender, dictionary: &Dictionary, count: u64) -> Vec<Event> {
    let events = (0..count).map(|_| {
        let seq = appender.next_seq();
        let made = event(
            seq.get(),
            (appender.next_time_us(Micros::new(START + seq.get() * 1_000))).get(),
        );
        push(appender, &made, Some(&compress(dictionary, &made.json)));
        if seq.get().is_multiple_of(3) {
            appender.commit().unwrap();
        }
        made
    });
    let events = events.collect();
    appender.commit().unwrap();
    events
}

fn check_frames(store: &Store, from: u64, dictionaries: &[&Dictionary]) {
    let mut position = from;
    loop {
        let run = match store.read(Seq::new(position)).unwrap() {
            Read::Events(run) => run,
            Read::AtTip => return,
            other => panic!("{other:?}"),
        };
        let block = run.block();
        let compressed = block.compressed().unwrap();
        assert_eq!(compressed.is_some(), block.dictionary_id().is_some());
        if let Some((compressed, id)) = compressed.zip(block.dictionary_id()) {
            let dictionary = dictionaries.iter().find(|known| known.id() == id).unwrap();
            for index in run.indexes() {
                let json = decompress(dictionary, compressed.get(index).unwrap());
                assert_eq!(json, block.json().unwrap().get(index).unwrap());
                assert_eq!(
                    compressed.slice(index).unwrap(),
                    compressed.get(index).unwrap()
                );
            }
        }
        position = run.next_seq().get();
    }
}

fn frames_and_json_come_back(place: &Place) {
    let first = dictionary(7);
    for hot_bytes in [1, 1 << 20] {
        let (mut appender, store) = place.open(tiny().hot_bytes(hot_bytes));
        appender.set_dictionary(&first).unwrap();
        let from = appender.next_seq();
        let events = append_framed(&mut appender, &first, 100);
        assert_eq!(read_all(&store, from.get()), events);
        check_frames(&store, from.get(), &[&first]);
    }
}

/// Fills a ring with compressed events, and returns the blocks that come from the disk with the events in each.
fn cold_blocks(appender: &mut Appender, store: &Store) -> Vec<(Arc<Block>, Vec<Event>)> {
    let used = dictionary(7);
    appender.set_dictionary(&used).unwrap();
    let mut events = append_framed(appender, &used, 400).into_iter();
    let (mut blocks, mut position) = (Vec::new(), 1);
    while position < store.usage().hot_seq.get() {
        let Read::Events(run) = store.read(Seq::new(position)).unwrap() else {
            panic!("nothing at {position}");
        };
        let block = Arc::clone(run.block());
        let events = events.by_ref().take(block.len()).collect();
        blocks.push((block, events));
        position = run.next_seq().get();
    }
    assert!(blocks.len() > 5, "{} blocks are cold", blocks.len());
    blocks
}

fn some_events_come_back_as_json(place: &Place) {
    let (mut appender, store) = place.open(tiny().block_events(40));
    let blocks = cold_blocks(&mut appender, &store);
    for (case, (block, events)) in blocks.iter().enumerate() {
        let last = events.len() - 1;
        let none_or_all: Vec<usize> = (0..events.len()).filter(|_| case % 2 == 1).collect();
        let choices = [vec![0], vec![3, 4, last], none_or_all, vec![last], vec![7]];
        for indexes in &choices[case % 3..] {
            let page = block.json_of(indexes).unwrap();
            for &index in indexes {
                assert_eq!(
                    page.get(index).unwrap(),
                    events[index].json,
                    "of {indexes:?}"
                );
            }
            assert!(page.get(events.len()).is_none());
        }
    }
}

fn few_events_are_unpacked_alone(place: &Place) {
    let (mut appender, store) = place.open(tiny().block_events(40));
    let mut blocks = cold_blocks(&mut appender, &store).into_iter();
    let mut block = || blocks.next().unwrap().0;

    let (few, many) = (block(), block());
    few.json_of(&[1, 5]).unwrap();
    assert!(!few.has_json());
    let half: Vec<usize> = (0..many.len() / 2).collect();
    many.json_of(&half).unwrap();
    assert!(many.has_json());

    let often = block();
    let readers = (1..).take_while(|_| {
        often.json_of(&[1, 5]).unwrap();
        !often.has_json()
    });
    assert_eq!(readers.count(), often.len() / 4 / 2);

    let (prepared, whole) = (block(), block());
    assert!(!prepared.has_json_of(2));
    prepared.prepare_json_of(2).unwrap();
    assert!(prepared.has_json_of(2) && !prepared.has_json());
    assert!(!prepared.has_json_of(prepared.len()));
    whole.prepare_json_of(whole.len()).unwrap();
    assert!(whole.has_json());
}

fn several_dictionaries_share_a_ring(place: &Place) {
    let (mut appender, store) = place.open(tiny());
    let mut events = append(&mut appender, 30, 4);
    let (first, second) = (dictionary(1), dictionary(2));
    for used in [&first, &second, &first] {
        appender.set_dictionary(used).unwrap();
        events.extend(append_framed(&mut appender, used, 37));
    }
    let check = |store: &Store| {
        assert_eq!(read_all(store, 1), events);
        check_frames(store, 1, &[&first, &second]);
        assert_eq!(store.dictionary(2), Some(second.clone()));
        assert_eq!(store.dictionary(3), None);
        let ids: Vec<u32> = store
            .dictionaries()
            .iter()
            .map(|dictionary| dictionary.id())
            .collect();
        assert_eq!(ids, [2, 1]);
    };
    check(&store);
    if place.is_disk() {
        drop((appender, store));
        let (mut appender, store) = place.open(tiny());
        check(&store);
        // The dictionary set last is still the one in use.
        append_framed(&mut appender, &first, 10);
        check_frames(&store, 1, &[&first, &second]);
    }
}

fn blocks_are_of_one_form(place: &Place) {
    let (mut appender, store) = place.open(tiny());
    let first = dictionary(1);
    appender.set_dictionary(&first).unwrap();
    let mut expected = Vec::new();
    for seq in 1..=60 {
        let made = event(seq, START + seq);
        let packed = compress(&first, &made.json);
        push(&mut appender, &made, (seq % 10 < 5).then_some(&packed));
        expected.push((seq % 10 < 5).then_some(1));
        if seq % 7 == 0 {
            appender.commit().unwrap();
        }
    }
    appender.commit().unwrap();
    let mut found = Vec::new();
    let mut position = 1;
    while let Read::Events(run) = store.read(Seq::new(position)).unwrap() {
        found.extend(run.indexes().map(|_| run.block().dictionary_id()));
        position = run.next_seq().get();
    }
    assert_eq!(found, expected);
    check_frames(&store, 1, &[&first]);
}

fn dictionaries_go_with_their_last_event(place: &Place) {
    let retention = Retention {
        max_age: Some(Duration::from_millis(100)),
        max_bytes: None,
    };
    let options = tiny()
        .retention(retention)
        .bucket_age(Duration::from_secs(1 << 30));
    let (mut appender, store) = place.open(options.clone());
    for id in 1..=3 {
        let used = dictionary(id);
        appender.set_dictionary(&used).unwrap();
        append_framed(&mut appender, &used, 100);
    }
    let ids = |store: &Store| -> Vec<u32> {
        store
            .dictionaries()
            .iter()
            .map(|dictionary| dictionary.id())
            .collect()
    };
    assert_eq!(ids(&store), [1, 2, 3]);
    appender.trim(Micros::new(START + 250_000)).unwrap();
    let oldest = store.bounds().oldest_seq;
    assert!(oldest > Seq::new(101) && oldest < Seq::new(200), "{oldest}");
    assert_eq!(ids(&store), [2, 3]);
    check_frames(&store, oldest.get(), &[&dictionary(2), &dictionary(3)]);
    appender
        .trim_after(Micros::new(START + 900_000_000), Duration::MAX)
        .unwrap();
    assert_eq!(ids(&store), [3]);
    if place.is_disk() {
        drop((appender, store));
        let (_appender, store) = place.open(options);
        assert_eq!(ids(&store), [3]);
    }
}

fn a_number_stands_for_one_dictionary(place: &Place) {
    let (mut appender, store) = place.open(tiny());
    let first = dictionary(1);
    appender.set_dictionary(&first).unwrap();
    appender.set_dictionary(&first).unwrap();
    append_framed(&mut appender, &first, 10);
    let other = Dictionary::train((0..2_000).map(|n| format!("other {n} {n}")), 512, 1).unwrap();
    let error = appender.set_dictionary(&other).unwrap_err();
    assert!(
        matches!(error, StoreError::OtherDictionary { id: 1 }),
        "{error}"
    );
    assert_eq!(appender.dictionary(), Some(first.clone()));
    append_framed(&mut appender, &first, 10);
    check_frames(&store, 1, &[&first]);
}
