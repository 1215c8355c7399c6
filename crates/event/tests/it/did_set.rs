//! Sets of accounts: against a model, and read while they change.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use jetwash_event::{DidSet, Filter};
use proptest::prelude::*;

/// Some `did:plc`, each of its own number.
fn plc(number: u64) -> String {
    let alphabet = b"abcdefghijklmnopqrstuvwxyz234567";
    let digit = |place: u32| char::from(alphabet[(number >> (5 * place) & 31) as usize]);
    let start: String = (0..13).map(digit).collect();
    format!("did:plc:{start}aaaaaaaaaaa")
}

/// A few of every form, so that actions meet.
fn any_did() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => (0..200_u64).prop_map(plc),
        1 => (0..10_u64).prop_map(|number| format!("did:web:{number}.example")),
        // No canonical `did:plc`: an upper-case letter, and too short.
        1 => (0..10_u64).prop_map(|number| plc(number).replace("did:plc:", "did:plc:A")),
        1 => (0..10_u64).prop_map(|number| format!("did:plc:{number}")),
    ]
}

#[derive(Clone, Debug)]
enum Action {
    Add(Vec<String>),
    Remove(Vec<String>),
    Replace(Vec<String>),
    /// A replacement that meets something wrong after these.
    Fail(Vec<String>),
}

fn any_action() -> impl Strategy<Value = Action> {
    let dids = || prop::collection::vec(any_did(), 0..40);
    prop_oneof![
        3 => dids().prop_map(Action::Add),
        3 => dids().prop_map(Action::Remove),
        1 => dids().prop_map(Action::Replace),
        1 => dids().prop_map(Action::Fail),
    ]
}

proptest! {
    #[test]
    fn it_holds_what_a_hash_set_holds(
        actions in prop::collection::vec(any_action(), 0..60),
        others in prop::collection::vec(any_did(), 20),
    ) {
        let (set, mut model) = (DidSet::new(), HashSet::new());
        let mut version = 0;
        for action in &actions {
            let before = model.clone();
            let (change, count) = match action {
                Action::Add(dids) => {
                    model.extend(dids.iter().cloned());
                    (set.add_all(dids).unwrap(), model.len() - before.len())
                }
                Action::Remove(dids) => {
                    for did in dids {
                        model.remove(did);
                    }
                    (set.remove_all(dids), before.len() - model.len())
                }
                Action::Replace(dids) => {
                    model = dids.iter().cloned().collect();
                    (set.replace(dids).unwrap(), model.len())
                }
                Action::Fail(dids) => {
                    let dids = dids.iter().map(String::as_str).chain(["alice"]);
                    prop_assert!(set.replace(dids).is_err());
                    prop_assert_eq!(set.version(), version);
                    continue;
                }
            };
            prop_assert_eq!(change.count(), count);
            prop_assert_eq!(change.version(), set.version());
            prop_assert!(before == model || change.version() > version);
            version = change.version();
            prop_assert_eq!(set.len(), model.len());
            for did in before.iter().chain(&model).chain(&others) {
                prop_assert_eq!(set.contains(did), model.contains(did), "{}", did);
            }
        }
        let listed: Vec<String> = set.iter().map(String::from).collect();
        prop_assert_eq!(listed.len(), model.len());
        prop_assert_eq!(listed.into_iter().collect::<HashSet<_>>(), model);
    }
}

#[test]
fn many_accounts_come_and_go() {
    const COUNT: u64 = 50_000;
    let set = DidSet::new();
    let empty = set.memory();
    for number in 0..COUNT {
        assert_eq!(set.add(&plc(number)).unwrap().count(), 1);
    }
    assert!((0..COUNT).all(|number| set.contains(&plc(number))));
    assert!(!(COUNT..2 * COUNT).any(|number| set.contains(&plc(number))));
    let full = set.memory();
    assert!(full < empty + 30 * COUNT as usize, "{full} bytes");
    for number in 0..COUNT {
        assert_eq!(set.remove(&plc(number)).count(), 1);
        assert_eq!(set.remove(&plc(number)).count(), 0);
    }
    assert!(set.is_empty());
    assert!(!(0..COUNT).any(|number| set.contains(&plc(number))));
    assert!(set.memory() < empty + (full - empty) / 4);
}

#[test]
fn accounts_that_go_give_their_memory_back() {
    let set = DidSet::new();
    let empty = set.memory();
    set.add_all((0..50_000).map(plc)).unwrap();
    let full = set.memory();
    set.remove_all((0..40_000).map(plc));
    assert_eq!(set.len(), 10_000);
    assert!(set.memory() - empty < (full - empty) / 3, "of {full} bytes");
    assert!((40_000..50_000).all(|number| set.contains(&plc(number))));
}

#[test]
fn turnover_takes_no_further_memory() {
    let set = DidSet::new();
    set.add_all((0..10_000).map(plc)).unwrap();
    let before = set.memory();
    for number in 0..200_000 {
        set.add(&plc(number + 10_000)).unwrap();
        set.remove(&plc(number));
    }
    assert_eq!(set.len(), 10_000);
    assert!(set.memory() < before * 3 / 2, "{} bytes", set.memory());
}

#[test]
fn a_wrong_did_adds_nothing_and_is_named() {
    let set = DidSet::new();
    assert_eq!(
        set.add("alice").unwrap_err().to_string(),
        "not a DID: does not start with `did:`"
    );
    let error = set
        .add_all(["did:web:a.example", "did:plc:"])
        .unwrap_err()
        .to_string();
    assert_eq!(error, "`did:plc:` is not a DID: nothing after the method");
    assert!(set.is_empty());
    assert_eq!(set.version(), 0);
}

#[test]
fn clearing_leaves_nothing() {
    let set = DidSet::new();
    set.add_all(["did:web:a.example".to_owned(), plc(1)])
        .unwrap();
    assert_eq!(set.clear().count(), 0);
    assert!(set.is_empty() && set.iter().next().is_none());
    assert!(!set.contains("did:web:a.example") && !set.contains(&plc(1)));
}

#[test]
fn a_replacement_that_is_dropped_changes_nothing() {
    let set = DidSet::new();
    set.add(&plc(1)).unwrap();
    let mut replacement = set.replacement();
    assert!(replacement.add(&plc(1)).unwrap() && replacement.add(&plc(2)).unwrap());
    assert!(!replacement.add(&plc(2)).unwrap());
    drop(replacement);
    assert!(set.contains(&plc(1)) && !set.contains(&plc(2)));
    assert_eq!((set.len(), set.version()), (1, 1));
}

#[test]
fn a_filter_follows_its_sets() {
    let (first, second) = (DidSet::new(), DidSet::new());
    let filter = Filter::new()
        .did_set(first.clone())
        .did_set(second.clone())
        .dids(["did:web:named.example"])
        .unwrap();
    // An empty set is not the same as none.
    assert!(!filter.is_empty() && !filter.matches_did(&plc(1)));
    assert!(filter.matches_did("did:web:named.example"));
    let version = filter.version();
    second.add(&plc(1)).unwrap();
    assert!(filter.version() > version);
    assert!(filter.matches_did(&plc(1)));
    second.remove(&plc(1));
    first.add(&plc(2)).unwrap();
    assert!(!filter.matches_did(&plc(1)) && filter.matches_did(&plc(2)));
}

/// Readers must see the accounts that stay at every moment, and those that never were at none,
/// whatever is done to the others.
#[test]
fn what_stays_is_seen_at_every_moment() {
    let set = DidSet::new();
    let stays = || (0..500).map(plc);
    set.add_all(stays()).unwrap();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    for number in 0..500 {
                        assert!(set.contains(&plc(number)), "{number} was lost");
                        assert!(!set.contains(&plc(number + 1_000_000)));
                    }
                }
            });
        }
        for round in 0..20_u64 {
            let comes_and_goes = || (0..2000).map(|number| plc(10_000 + 3000 * round + number));
            set.add_all(comes_and_goes()).unwrap();
            set.remove_all(comes_and_goes());
            set.replace(stays().chain(comes_and_goes().take(100)))
                .unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert_eq!(set.len(), 600);
}

/// Every look-up sees all of the old or all of the new.
#[test]
fn a_replacement_happens_at_one_moment() {
    let set = DidSet::new();
    set.add(&plc(0)).unwrap();
    let (begun, done) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            loop {
                let round = done.load(Ordering::SeqCst);
                let is_in = set.contains(&plc(round));
                assert!(is_in || begun.load(Ordering::SeqCst) > round);
                assert!(round == 0 || !set.contains(&plc(round - 1)));
                if round == 2999 {
                    break;
                }
            }
        });
        for round in 1..3000 {
            begun.store(round, Ordering::SeqCst);
            set.replace([plc(round)]).unwrap();
            done.store(round, Ordering::SeqCst);
        }
    });
}

/// Threads that each change accounts of their own get along.
#[test]
fn writers_take_turns() {
    let set = DidSet::new();
    thread::scope(|scope| {
        for thread in 0..4 {
            let set = set.clone();
            scope.spawn(move || {
                for number in 0..2000 {
                    let did = plc(number * 4 + thread);
                    set.add(&did).unwrap();
                    assert!(set.contains(&did));
                    if number % 2 == 0 {
                        set.remove(&did);
                        assert!(!set.contains(&did));
                    }
                }
            });
        }
    });
    assert_eq!((set.len(), set.version()), (4000, 12_000));
}
