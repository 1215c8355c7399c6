//! The states of accounts, beside their events.

use std::time::Duration;

use jetwash_store::{AccountState, Appender, Micros, Options, PackedRepo, Seq};

use crate::support::{Place, START, append, event, on_both, push, push_many, tiny};

on_both!(a_state_is_what_was_set_last_and_an_unknown_account_has_none);

fn state(rev: u64) -> AccountState {
    let mut state = AccountState::default();
    state.rev = rev;
    state.ops = vec![rev, rev + 1];
    state.add_notice(rev + 2);
    // Some are verified, and some hosts have said whether the account is active.
    if rev.is_multiple_of(2) {
        state.repo = PackedRepo::new(&[rev as u8; 42]);
    }
    state.is_active = [None, Some(true), Some(false)][rev as usize % 3];
    state
}

fn did(number: u64) -> String {
    if number.is_multiple_of(3) {
        return format!("did:web:{number}.example");
    }
    let digits = b"abcdefghijklmnopqrstuvwxyz234567";
    let digit = |index: u32| char::from(digits[(number >> (5 * index) & 31) as usize]);
    let name: String = (0..12).map(digit).collect();
    format!("did:plc:{name}{name}")
}

fn found(appender: &mut Appender, number: u64) -> Option<AccountState> {
    appender.account(&did(number)).unwrap()
}

fn a_state_is_what_was_set_last_and_an_unknown_account_has_none(place: &Place) {
    let (mut appender, _store) = place.open(tiny());
    assert_eq!(found(&mut appender, 1), None);
    appender.set_account(&did(1), &state(5));
    assert_eq!(found(&mut appender, 1), Some(state(5)));
    appender.commit().unwrap();
    appender.set_account(&did(1), &state(6));
    appender.set_account(&did(3), &state(7));
    appender.commit().unwrap();
    let states = [1, 3, 2].map(|number| found(&mut appender, number));
    assert_eq!(states, [Some(state(6)), Some(state(7)), None]);
}

#[test]
fn states_outlive_the_process_with_the_events_that_they_follow_from() {
    let place = Place::disk();
    let (mut appender, store) = place.open(tiny());
    append(&mut appender, 10, 10);
    assert_eq!(appender.accounted_to(), Seq::new(0));
    appender.keep_accounted();
    // Far more than memory holds, and buffers that are written out.
    for number in 0..40_000 {
        appender.set_account(&did(number), &state(number));
        if number % 500 == 0 {
            push_many(&mut appender, 1);
            appender.commit().unwrap();
        }
    }
    appender.commit().unwrap();
    appender.set_account(&did(7), &state(8));
    drop((appender, store));

    let (mut appender, store) = place.open(tiny());
    for number in (0..40_000).step_by(7) {
        let expected = Some(state(number));
        assert_eq!(found(&mut appender, number), expected, "{number}");
    }
    assert_eq!(found(&mut appender, 40_000), None);
    assert_eq!(appender.accounted_to(), store.bounds().next_seq);
    // From here on nobody accounts for what comes.
    append(&mut appender, 1, 1);
    assert_eq!(appender.accounted_to(), store.bounds().next_seq.previous());
}

#[test]
fn an_entry_of_the_version_before_is_read_and_written_on() {
    let place = Place::disk();
    let (mut appender, store) = place.open(tiny());
    appender.set_account(&did(1), &state(1));
    appender.commit().unwrap();
    drop((appender, store));
    {
        let database = fjall::Database::builder(place.path()).open().unwrap();
        let names = database.list_keyspace_names();
        let name = names.iter().find(|name| name.starts_with("account-states"));
        let accounts = database.keyspace(name.unwrap(), Default::default).unwrap();
        // Version 1, one notice, one operation, the revision 9, and the two digests.
        let head = [1, 1, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0];
        let digests = [[5, 0, 0, 0, 0, 0, 0, 0], [6, 0, 0, 0, 0, 0, 0, 0]].concat();
        let key = [&[1], did(3).as_bytes()].concat();
        accounts
            .insert(key, [&head[..], &digests].concat())
            .unwrap();
    }
    // The key of a DID that is not of `did:plc` is its text.
    assert!(did(3).starts_with("did:web:"));
    let (mut appender, _store) = place.open(tiny());
    let mut expected = AccountState::default();
    expected.rev = 9;
    expected.ops = vec![5];
    expected.notices = vec![6];
    assert_eq!(found(&mut appender, 3), Some(expected.clone()));
    expected.repo = PackedRepo::new(&[8; 42]);
    appender.set_account(&did(3), &expected);
    appender.commit().unwrap();
    assert_eq!(found(&mut appender, 3), Some(expected));
}

const DAY_US: u64 = 24 * 3_600_000_000;

fn forgetting(days: u64) -> Options {
    tiny().forget_accounts_after(Duration::from_micros(days * DAY_US))
}

/// Commits an event of that day with the states of some accounts, and trims.
fn live(appender: &mut Appender, day: u64, numbers: &[u64]) -> u64 {
    let seq = appender.next_seq().get();
    let time_us = appender.next_time_us(Micros::new(START + day * DAY_US));
    push(appender, &event(seq, time_us.get()), None);
    for number in numbers {
        appender.set_account(&did(*number), &state(*number + day));
    }
    appender.commit().unwrap();
    // Whatever the clock says: only the events count.
    let trimmed = appender.trim_after(Micros::EPOCH, Duration::ZERO).unwrap();
    trimmed.account_entries
}

/// The accounts that are found in a ring that is opened anew, where nothing is in memory.
fn stored(place: &Place, days: u64, numbers: &[u64]) -> Vec<Option<u64>> {
    let (mut appender, _store) = place.open(forgetting(days));
    let found = numbers.iter().map(|number| found(&mut appender, *number));
    found.map(|state| state.map(|state| state.rev)).collect()
}

#[test]
fn an_account_is_forgotten_when_it_was_not_set_for_long() {
    let place = Place::disk();
    let mut forgotten = None;
    // Account 1 is set once, account 2 each day, account 4 twice.
    for day in 0..40 {
        let (mut appender, _store) = place.open(forgetting(10));
        let numbers: &[u64] = match day {
            0 => &[1, 2, 4],
            12 => &[2, 4],
            _ => &[2],
        };
        live(&mut appender, day, numbers);
        drop((appender, _store));
        let found = stored(&place, 10, &[1, 2, 4, 5]);
        assert_eq!((found[1], found[3]), (Some(2 + day), None), "day {day}");
        if found[0].is_none() {
            forgotten.get_or_insert(day);
        } else {
            assert_eq!((found[0], forgotten), (Some(1), None), "day {day}");
        }
        if day <= 22 {
            let expected = if day < 12 { 4 } else { 4 + 12 };
            assert_eq!(found[2], Some(expected), "day {day}");
        }
        if day >= 12 + 20 {
            assert_eq!(found[2], None, "day {day}");
        }
    }
    let forgotten = forgotten.unwrap();
    assert!((10..=20).contains(&forgotten), "after {forgotten} days");
}

#[test]
fn what_is_forgotten_is_counted() {
    let place = Place::disk();
    let (mut appender, store) = place.open(forgetting(10));
    let numbers: Vec<u64> = (0..1_000).collect();
    assert_eq!(live(&mut appender, 0, &numbers), 0);
    assert_eq!(store.usage().account_entries, 1_000);
    assert_eq!(live(&mut appender, 10, &numbers[..10]), 0);
    assert_eq!(live(&mut appender, 11, &numbers[..10]), 0);
    assert_eq!(store.usage().account_entries_dropped, 0);
    // About: some of these may be of day 10 and some of day 11.
    let dropped = live(&mut appender, 21, &numbers[..10]);
    assert!((1_000..=1_010).contains(&dropped), "{dropped}");
    let usage = store.usage();
    assert_eq!(usage.account_entries_dropped, dropped);
    assert!(usage.account_entries <= 20, "{usage:?}");
}

#[test]
fn accounts_stay_as_long_as_the_events_at_least() {
    let place = Place::disk();
    let mut options = forgetting(1);
    options.retention.max_age = Some(Duration::from_micros(100 * DAY_US));
    let (mut appender, store) = place.open(options);
    live(&mut appender, 0, &[1]);
    for day in (0..200).step_by(3) {
        live(&mut appender, day, &[2]);
        assert_eq!(store.usage().account_entries_dropped > 0, day >= 200);
    }
}

#[test]
fn a_flood_of_accounts_stays_within_its_bytes() {
    const LIMIT: u64 = 2 << 20;
    let place = Place::disk();
    let options = tiny().account_bytes(LIMIT).memtable_bytes(1 << 16);
    let (mut appender, store) = place.open(options.clone());
    let mut largest = 0;
    for round in 0..200 {
        for number in 0..500 {
            let number = 1_000 + round * 500 + number;
            appender.set_account(&did(number), &state(number));
        }
        // It is heard of all the time.
        appender.set_account(&did(1), &state(round));
        push_many(&mut appender, 1);
        appender.commit().unwrap();
        appender.trim(Micros::EPOCH).unwrap();
        largest = largest.max(store.usage().account_bytes);
    }
    // A buffer that is written out late comes on top.
    assert!(largest <= LIMIT + LIMIT / 4, "{largest} bytes");
    assert!(store.usage().account_entries_dropped > 0);
    drop((appender, store));
    let (mut appender, _store) = place.open(options);
    assert_eq!(found(&mut appender, 1), Some(state(199)));
    assert_eq!(found(&mut appender, 1_000), None);
    let last = 1_000 + 199 * 500 + 499;
    assert_eq!(found(&mut appender, last), Some(state(last)));
}

#[test]
fn accounts_of_a_ring_that_forgot_none_are_forgotten_in_time() {
    let place = Place::disk();
    drop(place.open(tiny()));
    {
        let database = fjall::Database::builder(place.path()).open().unwrap();
        let accounts = database
            .keyspace("account-states", Default::default)
            .unwrap();
        let key = [&[1], did(3).as_bytes()].concat();
        accounts
            .insert(key, [1, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0])
            .unwrap();
    }
    assert_eq!(stored(&place, 10, &[3]), [Some(9)]);
    for day in 0..25 {
        let (mut appender, _store) = place.open(forgetting(10));
        live(&mut appender, day, &[2]);
        drop((appender, _store));
        let expected = (day < 10).then_some(9);
        assert_eq!(stored(&place, 10, &[3]), [expected], "day {day}");
    }
}

#[test]
fn a_bucket_that_a_crash_has_left_says_nothing() {
    let place = Place::disk();
    let (mut appender, store) = place.open(forgetting(10));
    live(&mut appender, 0, &[1]);
    live(&mut appender, 10, &[2]);
    live(&mut appender, 11, &[2]);
    drop((appender, store));
    assert_eq!(stored(&place, 10, &[1, 2]), [Some(1), Some(13)]);
    {
        // As after a crash between the making of the third bucket and the dropping of the first.
        let database = fjall::Database::builder(place.path()).open().unwrap();
        for _ in 0..64 {
            let state = database.keyspace("state", Default::default).unwrap();
            state.insert("version", 4_u32.to_le_bytes()).unwrap();
        }
        let name = format!("account-states-{:020}", START + 30 * DAY_US);
        database.keyspace(&name, Default::default).unwrap();
    }
    assert_eq!(stored(&place, 10, &[1, 2]), [None, Some(13)]);
}
