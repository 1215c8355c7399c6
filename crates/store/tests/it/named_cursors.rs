use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use jetwash_store::{CursorError, Store};

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
        current(store.advance_named_cursor("feed", Some(1), 2)),
        None
    );
    store.advance_named_cursor("feed", None, 7).unwrap();
    assert_eq!(
        current(store.advance_named_cursor("feed", None, 9)),
        Some(7)
    );
    assert_eq!(
        current(store.advance_named_cursor("feed", Some(6), 9)),
        Some(7)
    );
    store.advance_named_cursor("feed", Some(7), 9).unwrap();
    store.advance_named_cursor("feed", Some(9), 9).unwrap();
    store.advance_named_cursor("other", None, 0).unwrap();
    let expected = [("feed".to_owned(), 9), ("other".to_owned(), 0)];
    assert_eq!(store.named_cursors(), expected);
}

fn a_cursor_never_goes_back_unless_it_is_reset(place: &Place) {
    let (_appender, store) = place.open(tiny());
    store.advance_named_cursor("feed", None, 100).unwrap();
    let error = store.advance_named_cursor("feed", Some(100), 99);
    assert!(
        matches!(&error, Err(CursorError::Backwards { current: 100, to: 99, name }) if name == "feed"),
        "{error:?}"
    );
    assert_eq!(store.named_cursor("feed"), Some(100));
    assert_eq!(store.reset_named_cursor("feed", 3).unwrap(), Some(100));
    assert_eq!(store.named_cursor("feed"), Some(3));
    assert_eq!(store.reset_named_cursor("new", 5).unwrap(), None);
}

fn a_cursor_can_be_removed(place: &Place) {
    let (_appender, store) = place.open(tiny());
    store.advance_named_cursor("feed", None, 100).unwrap();
    assert_eq!(store.remove_named_cursor("feed").unwrap(), Some(100));
    assert_eq!(store.remove_named_cursor("feed").unwrap(), None);
    assert_eq!(store.named_cursors(), []);
    store.advance_named_cursor("feed", None, 1).unwrap();
}

fn names_are_held_to_bounds(place: &Place) {
    let (_appender, store) = place.open(tiny());
    let longest = "x".repeat(128);
    for name in ["a", "ein Käfer", "wss://relay.example/?a=b", &longest] {
        store.advance_named_cursor(name, None, 1).unwrap();
        assert_eq!(store.named_cursor(name), Some(1));
    }
    for name in ["", "a\nb", "\0", &"x".repeat(129), &"ä".repeat(65)] {
        let error = store.advance_named_cursor(name, None, 1);
        assert!(matches!(error, Err(CursorError::Name { .. })), "{name:?}");
        let error = store.reset_named_cursor(name, 1);
        assert!(matches!(error, Err(CursorError::Name { .. })), "{name:?}");
    }
}

fn there_is_a_bound_to_how_many_there_are(place: &Place) {
    let (_appender, store) = place.open(tiny());
    for number in 0..4096 {
        store
            .advance_named_cursor(&number.to_string(), None, number)
            .unwrap();
    }
    let error = store.advance_named_cursor("one more", None, 1);
    assert!(matches!(error, Err(CursorError::TooMany { limit: 4096 })));
    store.advance_named_cursor("7", Some(7), 8).unwrap();
    store.remove_named_cursor("8").unwrap();
    store.advance_named_cursor("one more", None, 1).unwrap();
}

fn of_many_who_advance_at_once_one_succeeds(place: &Place) {
    let (_appender, store) = place.open(tiny());
    store.advance_named_cursor("feed", None, 0).unwrap();
    let wins: Vec<u64> = thread::scope(|scope| {
        let threads = [0, 1, 2, 3].map(|_| scope.spawn(|| take_turns(&store)));
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    // Each step of 1 was made by one of them alone.
    assert_eq!(wins.iter().sum::<u64>(), 400);
    assert_eq!(store.named_cursor("feed"), Some(400));
}

/// Advances by one, again and again; returns how often that succeeded.
fn take_turns(store: &Store) -> u64 {
    let mut wins = 0;
    loop {
        let at = store.named_cursor("feed").unwrap();
        if at == 400 {
            return wins;
        }
        match store.advance_named_cursor("feed", Some(at), at + 1) {
            Ok(()) => wins += 1,
            Err(CursorError::Moved { current, .. }) => assert!(current > Some(at)),
            Err(error) => panic!("{error}"),
        }
    }
}

fn cursors_move_while_the_ring_turns(place: &Place) {
    let (mut appender, store) = place.open(tiny());
    let done = AtomicBool::new(false);
    let saved = thread::scope(|scope| {
        let consumer = scope.spawn(|| {
            let mut at = None;
            while !done.load(Ordering::Acquire) {
                let next = store.bounds().next_seq;
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
    assert_eq!(store.bounds().next_seq, 1_501);
}

#[test]
fn cursors_stay_when_the_ring_is_opened_again() {
    let place = Place::disk();
    let (mut appender, store) = place.open(tiny());
    append(&mut appender, 100, 10);
    store.advance_named_cursor("a", None, 50).unwrap();
    store.advance_named_cursor("b", None, 60).unwrap();
    store.remove_named_cursor("b").unwrap();
    store.reset_named_cursor("a", 20).unwrap();
    drop((appender, store));
    let (_appender, store) = place.open(tiny());
    assert_eq!(store.named_cursors(), [("a".to_owned(), 20)]);
    store.advance_named_cursor("a", Some(20), 21).unwrap();
}

/// A consumer says what it has done after the writer has stopped.
#[test]
fn cursors_can_be_saved_when_the_appender_is_gone() {
    let place = Place::disk();
    let (appender, store) = place.open(tiny());
    drop(appender);
    store.advance_named_cursor("a", None, 50).unwrap();
    drop(store);
    let (_appender, store) = place.open(tiny());
    assert_eq!(store.named_cursor("a"), Some(50));
}
