//! Equal configurations give equal bytes, and others give others.

use jetwash_event::Micros;
use jetwash_sim::{Network, NetworkConfig, SimEvent};
use sha2::{Digest, Sha256};

use crate::config;

fn digest(config: NetworkConfig) -> Vec<u8> {
    let mut digest = Sha256::new();
    for frame in Network::new(config).unwrap().take(400) {
        digest.update(&frame.bytes);
    }
    digest.finalize().to_vec()
}

#[test]
fn a_seed_gives_the_same_bytes_again() {
    assert_eq!(digest(config(7, 25)), digest(config(7, 25)));
}

#[test]
fn other_seeds_give_other_bytes() {
    assert_ne!(digest(config(7, 25)), digest(config(8, 25)));
}

#[test]
fn asking_for_repositories_changes_nothing_that_follows() {
    let mut asked = Network::new(config(7, 25)).unwrap();
    let mut plain = Network::new(config(7, 25)).unwrap();
    for _ in 0..50 {
        let dids: Vec<String> = asked.dids().map(str::to_owned).collect();
        let did = &dids[asked.next_seq() as usize % dids.len()];
        let _ = asked.did_document(did);
        let _ = asked.repo_car(did);
        assert_eq!(asked.next(), plain.next());
    }
}

#[test]
fn time_and_sequence_start_where_they_are_told_to() {
    let start = 1_900_000_000_000_000;
    let config = NetworkConfig {
        start: Micros::new(start),
        first_seq: 31_527_015_322,
        ..config(7, 5)
    };
    let frame = Network::new(config).unwrap().next().unwrap();
    assert_eq!(frame.seq, 31_527_015_322);
    // Taken from `date -u -d @1900000000`; the first frame is a few milliseconds later.
    assert!(
        frame.time.starts_with("2030-03-17T17:46:40.00"),
        "{}",
        frame.time
    );
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    let refused = |config: NetworkConfig| Network::new(config).unwrap_err().to_string();
    let none = NetworkConfig {
        accounts: 0,
        ..config(1, 1)
    };
    assert_eq!(refused(none), "accounts: 0 is not between 1 and 10000000");
    let early = NetworkConfig {
        start: Micros::new(5),
        ..config(1, 1)
    };
    assert!(refused(early).starts_with("start: 5 "));
}

#[test]
fn a_network_that_continues_has_newer_numbers_times_and_revisions() {
    let mut newest = String::new();
    let mut last = (0, String::new());
    let mut config = config(7, 25);
    for _ in 0..4 {
        let mut revs = Vec::new();
        for frame in Network::new(config.clone()).unwrap().take(300) {
            assert_eq!(frame.seq, last.0 + 1);
            assert!(frame.time > last.1);
            last = (frame.seq, frame.time);
            if let SimEvent::Commit(commit) = frame.event {
                assert!(commit.rev > newest, "{} after {newest}", commit.rev);
                revs.push(commit.rev);
            }
        }
        newest = revs.into_iter().max().unwrap();
        // From the start, as a program does that is begun anew with the same settings.
        config = crate::config(7, 25).continuing_after(last.0);
    }
}

#[test]
fn a_reader_that_has_had_nothing_gets_the_network_from_its_start() {
    let config = NetworkConfig {
        first_seq: 100,
        ..config(7, 25)
    };
    assert_eq!(config.clone().continuing_after(99), config);
    assert_eq!(config.continuing_after(100).first_seq, 101);
}
