use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use jetwash_store::{Cursor, CursorError, Seq, Store};

use crate::support::{Place, append, on_both, tiny};

on_both!(
    a_cursor_advances_from_where_it_is_believed_to_be,
    a_cursor_never_goes_back_unless_it_is_reset,
    a_cursor_can_be_removed,
    names_are_held_to_bounds,
    there_is_a_bound_to_how_many_there_are,
    of_many_who_advance_at_once_one_succeeds,
    cursors_move_while_the_ring_turns,
);

fn a_cursor_advances_from_where_it_is_believed_to_be(place: &Place) {
    let (_appender, store) = place.open(tiny());
    assert_eq!(store.named_cursor("feed"), None);
    let current = |error| match error {
        Err(CursorError::Moved { current, .. }) => current,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        current(store.advance_named_cursor("feed", Some(Cursor::new(1)), Cursor::new(2))),
        None
    );
    store
        .advance_named_cursor("feed", None, Cursor::new(7))
        .unwrap();
    assert_eq!(
        current(store.advance_named_cursor("feed", None, Cursor::new(9))),
        Some(Cursor::new(7))
    );
    assert_eq!(
        current(store.advance_named_cursor("feed", Some(Cursor::new(6)), Cursor::new(9))),
        Some(Cursor::new(7))
    );
    store
        .advance_named_cursor("feed", Some(Cursor::new(7)), Cursor::new(9))
        .unwrap();
    store
        .advance_named_cursor("feed", Some(Cursor::new(9)), Cursor::new(9))
        .unwrap();
    store
        .advance_named_cursor("other", None, Cursor::START)
        .unwrap();
    let expected = [
        ("feed".to_owned(), Cursor::new(9)),
        ("other".to_owned(), Cursor::START),
    ];
    assert_eq!(store.named_cursors(), expected);
}

fn a_cursor_never_goes_back_unless_it_is_reset(place: &Place) {
    let (_appender, store) = place.open(tiny());
    store
        .advance_named_cursor("feed", None, Cursor::new(100))
        .unwrap();
    let error = store.advance_named_cursor("feed", Some(Cursor::new(100)), Cursor::new(99));
    assert!(
        matches!(&error, Err(CursorError::Backwards { current, to, name }) if name == "feed" && (current.get(), to.get()) == (100, 99)),
        "{error:?}"
    );
    assert_eq!(store.named_cursor("feed"), Some(Cursor::new(100)));
    assert_eq!(
        store.reset_named_cursor("feed", Cursor::new(3)).unwrap(),
        Some(Cursor::new(100))
    );
    assert_eq!(store.named_cursor("feed"), Some(Cursor::new(3)));
    assert_eq!(
        store.reset_named_cursor("new", Cursor::new(5)).unwrap(),
        None
    );
}

fn a_cursor_can_be_removed(place: &Place) {
    let (_appender, store) = place.open(tiny());
    store
        .advance_named_cursor("feed", None, Cursor::new(100))
        .unwrap();
    assert_eq!(
        store.remove_named_cursor("feed").unwrap(),
        Some(Cursor::new(100))
    );
    assert_eq!(store.remove_named_cursor("feed").unwrap(), None);
    assert_eq!(store.named_cursors(), []);
    store
        .advance_named_cursor("feed", None, Cursor::new(1))
        .unwrap();
}

fn names_are_held_to_bounds(place: &Place) {
    let (_appender, store) = place.open(tiny());
    let longest = "x".repeat(128);
    for name in ["a", "ein Käfer", "wss://relay.example/?a=b", &longest] {
        store
            .advance_named_cursor(name, None, Cursor::new(1))
            .unwrap();
        assert_eq!(store.named_cursor(name), Some(Cursor::new(1)));
    }
    for name in ["", "a\nb", "\0", &"x".repeat(129), &"ä".repeat(65)] {
        let error = store.advance_named_cursor(name, None, Cursor::new(1));
        assert!(matches!(error, Err(CursorError::Name { .. })), "{name:?}");
        let error = store.reset_named_cursor(name, Cursor::new(1));
        assert!(matches!(error, Err(CursorError::Name { .. })), "{name:?}");
    }
}

fn there_is_a_bound_to_how_many_there_are(place: &Place) {
    let (_appender, store) = place.open(tiny());
    for number in 0..4096 {
        store
            .advance_named_cursor(&number.to_string(), None, Cursor::new(number))
            .unwrap();
    }
    let error = store.advance_named_cursor("one more", None, Cursor::new(1));
    assert!(matches!(error, Err(CursorError::TooMany { limit: 4096 })));
    store
        .advance_named_cursor("7", Some(Cursor::new(7)), Cursor::new(8))
        .unwrap();
    store.remove_named_cursor("8").unwrap();
    store
        .advance_named_cursor("one more", None, Cursor::new(1))
        .unwrap();
}

fn of_many_who_advance_at_once_one_succeeds(place: &Place) {
    const STEPS: u64 = 200;
    let (_appender, store) = place.open(tiny());
    store
        .advance_named_cursor("feed", None, Cursor::START)
        .unwrap();
    // All of them begin each step together.
    let together = Barrier::new(4);
    let wins: Vec<u64> = thread::scope(|scope| {
        let threads = [0, 1, 2, 3].map(|_| scope.spawn(|| take_turns(&store, &together, STEPS)));
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    // Each step was made by one of them alone.
    assert_eq!(wins.iter().sum::<u64>(), STEPS);
    assert_eq!(store.named_cursor("feed"), Some(Cursor::new(STEPS)));
}

/// Tries to make each step, and returns how often that succeeded.
fn take_turns(store: &Store, together: &Barrier, steps: u64) -> u64 {
    let mut wins = 0;
    for step in 0..steps {
        let at = Cursor::new(step);
        together.wait();
        match store.advance_named_cursor("feed", Some(at), Cursor::after(at.next())) {
            Ok(()) => wins += 1,
            Err(CursorError::Moved { current, .. }) => assert!(current > Some(at)),
            Err(error) => panic!("{error}"),
        }
        together.wait();
    }
    wins
}

fn cursors_move_while_the_ring_turns(place: &Place) {
    let (mut appender, store) = place.open(tiny());
    let done = AtomicBool::new(false);
    let saved = thread::scope(|scope| {
        let consumer = scope.spawn(|| {
            let mut at = None;
            while !done.load(Ordering::Acquire) {
                let next = Cursor::before(store.bounds().next_seq);
                store.advance_named_cursor("feed", at, next).unwrap();
                at = Some(next);
            }
            at
        });
        append(&mut appender, 1_500, 5);
        done.store(true, Ordering::Release);
        consumer.join().unwrap()
    });
    assert_eq!(store.named_cursor("feed"), saved);
    assert_eq!(store.bounds().next_seq, Seq::new(1_501));
}

#[test]
fn cursors_stay_when_the_ring_is_opened_again() {
    let place = Place::disk();
    let (mut appender, store) = place.open(tiny());
    append(&mut appender, 100, 10);
    store
        .advance_named_cursor("a", None, Cursor::new(50))
        .unwrap();
    store
        .advance_named_cursor("b", None, Cursor::new(60))
        .unwrap();
    store.remove_named_cursor("b").unwrap();
    store.reset_named_cursor("a", Cursor::new(20)).unwrap();
    drop((appender, store));
    let (_appender, store) = place.open(tiny());
    assert_eq!(store.named_cursors(), [("a".to_owned(), Cursor::new(20))]);
    store
        .advance_named_cursor("a", Some(Cursor::new(20)), Cursor::new(21))
        .unwrap();
}

/// A consumer says what it has done after the writer has stopped.
#[test]
fn cursors_can_be_saved_when_the_appender_is_gone() {
    let place = Place::disk();
    let (appender, store) = place.open(tiny());
    drop(appender);
    store
        .advance_named_cursor("a", None, Cursor::new(50))
        .unwrap();
    drop(store);
    let (_appender, store) = place.open(tiny());
    assert_eq!(store.named_cursor("a"), Some(Cursor::new(50)));
}
