//! A set of accounts under every order in which its threads can meet. Runs in a build of its own:
//!
//! ```text
//! RUSTFLAGS="--cfg jetwash_loom" cargo test -p jetwash-event --test loom --release
//! ```
#![cfg(jetwash_loom)]

use jetwash_event::DidSet;
use loom::thread;

const ONE: &str = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
const TWO: &str = "did:plc:z72i7hdynmk6r22z27h6tvur";

/// Tries every order with up to this many changes of thread that no thread asked for.
fn model(check: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(check);
}

#[test]
fn a_replacement_happens_at_one_moment() {
    model(|| {
        let set = DidSet::new();
        set.add(ONE).unwrap();
        let changed = set.clone();
        let writer = thread::spawn(move || {
            changed.replace([TWO]).unwrap();
        });
        let (had_one, had_two) = (set.contains(ONE), set.contains(TWO));
        assert!(had_one || had_two, "neither the old nor the new");
        assert!(!had_two || !set.contains(ONE), "both the old and the new");
        writer.join().unwrap();
        assert!(!set.contains(ONE) && set.contains(TWO) && set.len() == 1);
    });
}

#[test]
fn what_stays_is_seen_while_its_table_is_replaced() {
    model(|| {
        let set = DidSet::new();
        set.add(ONE).unwrap();
        let changed = set.clone();
        let writer = thread::spawn(move || {
            // More than the first table has room for.
            let others = (0..7).map(|number| format!("did:plc:aaaaaaaaaaaaaaaaaaaaaaa{number}"));
            changed
                .add_all(others.filter(|did| did.ends_with(|c| c > '1')))
                .unwrap();
            changed.replace([ONE]).unwrap();
        });
        assert!(set.contains(ONE));
        writer.join().unwrap();
        assert!(set.contains(ONE) && set.len() == 1);
    });
}

#[test]
fn a_version_that_is_seen_has_its_account() {
    model(|| {
        let set = DidSet::new();
        let changed = set.clone();
        let writer = thread::spawn(move || {
            changed.add(ONE).unwrap();
        });
        if set.version() == 1 {
            assert!(set.contains(ONE) && set.len() == 1);
        }
        writer.join().unwrap();
    });
}

#[test]
fn writers_take_turns() {
    model(|| {
        let set = DidSet::new();
        let changed = set.clone();
        let writer = thread::spawn(move || {
            changed.add(ONE).unwrap();
        });
        set.add(TWO).unwrap();
        writer.join().unwrap();
        assert!(set.contains(ONE) && set.contains(TWO));
        assert_eq!((set.len(), set.version()), (2, 2));
    });
}
