//! A log is told from every other.

use jetwash_store::{Location, LogId, open};

use crate::fixture::copy_of;
use crate::support::{Place, append, on_both, tiny};

on_both!(two_logs_have_two_identities);

fn two_logs_have_two_identities(place: &Place) {
    let (_appender, store) = place.open(tiny());
    let other = if place.is_disk() {
        Place::disk()
    } else {
        Place::memory()
    };
    let (_other_appender, other_store) = other.open(tiny());
    assert_ne!(store.log_id(), other_store.log_id());
}

#[test]
fn a_log_keeps_its_identity_over_restarts() {
    let place = Place::disk();
    let (mut appender, store) = place.open(tiny());
    let id = store.log_id();
    append(&mut appender, 100, 7);
    drop((appender, store));
    for _ in 0..2 {
        assert_eq!(place.open(tiny()).1.log_id(), id);
    }
}

#[test]
fn a_log_of_an_earlier_format_gets_an_identity_once() {
    for format in [1, 2] {
        let folder = copy_of(format);
        let open = || open(Location::Disk(folder.path().to_owned()), tiny());
        let id = open().unwrap().1.log_id();
        assert_eq!(open().unwrap().1.log_id(), id);
    }
}

#[test]
fn an_identity_is_read_as_it_is_written() {
    let id = LogId::from_number(0x00c0_ffee_1234_5678);
    assert_eq!(id.to_string(), "00c0ffee12345678");
    assert_eq!("00c0ffee12345678".parse(), Ok(id));
    for text in ["", "c0ffee", "+0c0ffee12345678", "00c0ffee123456789"] {
        assert!(text.parse::<LogId>().is_err(), "{text}");
    }
}
