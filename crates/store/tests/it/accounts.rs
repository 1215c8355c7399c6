//! The states of accounts, beside their events.

use jetwash_store::{AccountState, Appender, PackedRepo, Seq};

use crate::support::{Place, append, on_both, push_many, tiny};

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
