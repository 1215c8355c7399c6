use std::sync::Arc;

use jetwash_store::{
    Block, DeadLetterError, DeadLetters, EventMeta, LetterLimits, Micros, NewDeadLetter, Read, Seq,
    Store,
};

use crate::support::{Place, append, on_both, tiny};

on_both!(
    a_letter_holds_its_event_as_it_was,
    letters_are_listed_in_order_in_pages_and_by_consumer,
    a_letter_is_replaced_by_the_same_event_and_discarded_once,
    there_is_a_bound_to_letters_and_to_bytes,
);

fn find(store: &Store, seq: u64) -> (Arc<Block>, usize) {
    match store.read(Seq::new(seq)).unwrap() {
        Read::Events(run) => (Arc::clone(run.block()), run.indexes().start),
        other => panic!("{other:?}"),
    }
}

/// Puts the event at a position aside.
pub(crate) fn put(letters: &DeadLetters, store: &Store, seq: u64, limits: LetterLimits) -> Outcome {
    let (block, index) = find(store, seq);
    let letter = NewDeadLetter {
        block: &block,
        index,
        reason: "the database is away",
        attempts: 5,
        failed_at_us: Micros::new(17),
    };
    letters.put(&letter, limits)
}

pub(crate) type Outcome = Result<(), DeadLetterError>;

fn a_letter_holds_its_event_as_it_was(place: &Place) {
    let (mut appender, store) = place.open(tiny());
    append(&mut appender, 40, 3);
    let letters = store.dead_letters("feed");
    for seq in 1..=40 {
        put(&letters, &store, seq, LetterLimits::default()).unwrap();
    }
    let rows = |store: &Store| {
        let letters = store.dead_letters("feed");
        for seq in 1..=40 {
            let letter = letters.get(Seq::new(seq)).unwrap().unwrap();
            assert_eq!(letter.seq(), Seq::new(seq));
            assert_eq!(
                (letter.attempts(), letter.failed_at_us()),
                (5, Micros::new(17))
            );
            assert_eq!(letter.reason(), "the database is away");
            let (block, index) = find(store, seq);
            let (found, expected) = (letter.block().meta(0), block.meta(index));
            let shown = |meta: Option<EventMeta<'_>>| format!("{:?}", meta.unwrap());
            assert_eq!(shown(found), shown(expected));
            let (found, expected) = (letter.block().json().unwrap(), block.json().unwrap());
            assert_eq!(found.get(0), expected.get(index));
        }
        assert_eq!(letters.held().unwrap().letters, 40);
    };
    rows(&store);
    if place.is_disk() {
        drop((appender, store, letters));
        let (_appender, store) = place.open(tiny());
        rows(&store);
    }
}

fn letters_are_listed_in_order_in_pages_and_by_consumer(place: &Place) {
    let (mut appender, store) = place.open(tiny());
    append(&mut appender, 300, 3);
    let letters = store.dead_letters("feed");
    for seq in (1..=300).rev() {
        put(&letters, &store, seq, LetterLimits::default()).unwrap();
    }
    // Names that begin alike are not confused.
    for other in ["fee", "feed2"] {
        let other = store.dead_letters(other);
        put(&other, &store, 7, LetterLimits::default()).unwrap();
        assert_eq!(other.list(None, 10).unwrap().len(), 1);
    }
    let (mut after, mut found) = (None, Vec::new());
    loop {
        let page = letters.list(after, 7).unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.seq());
        found.extend(page.iter().map(|letter| letter.seq().get()));
    }
    assert_eq!(found, (1..=300).collect::<Vec<_>>());
    assert!(letters.list(Some(Seq::MAX), 1).unwrap().is_empty());
    // Counted anew, from what is stored.
    if place.is_disk() {
        let bytes = letters.held().unwrap();
        drop((appender, store, letters));
        let (_appender, store) = place.open(tiny());
        assert_eq!(store.dead_letters("feed").held().unwrap(), bytes);
        assert_eq!(bytes.letters, 300);
    }
}

fn a_letter_is_replaced_by_the_same_event_and_discarded_once(place: &Place) {
    let (mut appender, store) = place.open(tiny());
    append(&mut appender, 3, 3);
    let letters = store.dead_letters("feed");
    put(&letters, &store, 2, LetterLimits::default()).unwrap();
    let held = letters.held().unwrap();
    put(&letters, &store, 2, LetterLimits::default()).unwrap();
    assert_eq!(letters.held().unwrap(), held);
    assert!(!letters.discard(Seq::FIRST).unwrap());
    assert!(letters.discard(Seq::new(2)).unwrap());
    assert!(!letters.discard(Seq::new(2)).unwrap());
    assert!(letters.get(Seq::new(2)).unwrap().is_none());
    let held = letters.held().unwrap();
    assert_eq!((held.letters, held.bytes), (0, 0));
}

fn there_is_a_bound_to_letters_and_to_bytes(place: &Place) {
    let (mut appender, store) = place.open(tiny());
    append(&mut appender, 10, 3);
    let letters = store.dead_letters("feed");
    let few = LetterLimits {
        letters: 3,
        bytes: 1 << 20,
    };
    for seq in 1..=3 {
        put(&letters, &store, seq, few).unwrap();
    }
    let error = put(&letters, &store, 4, few).unwrap_err();
    assert!(matches!(error, DeadLetterError::Full { .. }), "{error}");
    assert!(error.to_string().contains(r#""feed""#));
    assert!(error.to_string().contains("3 of 3 letters"));
    // One that is there may be written again.
    put(&letters, &store, 3, few).unwrap();
    let held = letters.held().unwrap();
    let small = LetterLimits {
        letters: 100,
        bytes: held.bytes,
    };
    let error = put(&letters, &store, 5, small).unwrap_err();
    assert!(matches!(error, DeadLetterError::Full { .. }));
    letters.discard(Seq::FIRST).unwrap();
    put(&letters, &store, 1, small).unwrap();
    assert_eq!(letters.held().unwrap(), held);
}

#[test]
fn a_long_reason_is_cut_at_a_character() {
    let (mut appender, store) = Place::memory().open(tiny());
    append(&mut appender, 1, 3);
    let (block, index) = find(&store, 1);
    let letter = NewDeadLetter {
        block: &block,
        index,
        reason: &"é".repeat(5000),
        attempts: 1,
        failed_at_us: Micros::EPOCH,
    };
    let letters = store.dead_letters("feed");
    letters.put(&letter, LetterLimits::default()).unwrap();
    let found = letters.get(Seq::FIRST).unwrap().unwrap();
    assert_eq!(found.reason(), "é".repeat(2048));
}
