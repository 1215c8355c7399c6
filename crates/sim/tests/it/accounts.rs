//! Accounts join, leave and return, and their commits follow on one another.

use std::collections::{HashMap, HashSet};

use jetwash_sim::{Network, NetworkConfig, SimEvent, SimFrame};

use crate::config;

fn lively(seed: u64) -> Network {
    let config = NetworkConfig {
        rare_per_million: 500_000,
        ..config(seed, 30)
    };
    Network::new(config).unwrap()
}

#[test]
fn every_status_is_seen() {
    let mut seen = HashSet::new();
    for frame in lively(3).take(2000) {
        if let SimEvent::Account { active, status } = frame.event {
            seen.insert((active, status));
        }
    }
    let expected = HashSet::from([
        (true, None),
        (true, Some("throttled")),
        (true, Some("desynchronized")),
        (false, None),
        (false, Some("deactivated")),
        (false, Some("deleted")),
        (false, Some("suspended")),
        (false, Some("takendown")),
    ]);
    assert_eq!(seen, expected);
}

#[test]
fn accounts_that_are_away_say_nothing() {
    let mut away = HashSet::new();
    let mut returned = 0;
    for frame in lively(4).take(2000) {
        match frame.event {
            SimEvent::Account { active: true, .. } => {
                returned += usize::from(away.remove(&frame.did));
            }
            SimEvent::Account { active: false, .. } => _ = away.insert(frame.did),
            SimEvent::Commit(_) | SimEvent::Sync { .. } => assert!(!away.contains(&frame.did)),
            _ => {}
        }
    }
    assert!(returned > 0 && !away.is_empty());
}

#[test]
fn commits_of_an_account_form_a_chain() {
    let mut states = HashMap::new();
    let mut followed = 0;
    for frame in lively(5).take(2000) {
        match frame.event {
            SimEvent::Commit(commit) => {
                let now = (commit.rev.clone(), commit.commit, commit.data);
                if let Some((rev, _, data)) = states.insert(frame.did, now) {
                    assert_eq!(
                        (commit.since, commit.previous_data),
                        (Some(rev.clone()), Some(data))
                    );
                    assert!(rev < commit.rev);
                    followed += 1;
                }
            }
            SimEvent::Sync { rev, commit } => {
                if let Some((last_rev, last_commit, _)) = states.get(&frame.did) {
                    assert_eq!((&rev, &commit), (last_rev, last_commit));
                }
            }
            _ => {}
        }
    }
    assert!(followed > 500, "{followed}");
}

#[test]
fn a_new_account_comes_in_four_frames() {
    let mut network = lively(6);
    let mut known: HashSet<String> = network.dids().map(str::to_owned).collect();
    let frames: Vec<SimFrame> = network.by_ref().take(600).collect();
    let mut joined = 0;
    for (index, frame) in frames.iter().enumerate().take(590) {
        if !known.insert(frame.did.to_string()) {
            continue;
        }
        joined += 1;
        let four = &frames[index..index + 4];
        assert!(four.iter().all(|other| other.did == frame.did));
        let events = [
            &four[0].event,
            &four[1].event,
            &four[2].event,
            &four[3].event,
        ];
        let [
            SimEvent::Identity { handle: Some(_) },
            SimEvent::Account {
                active: true,
                status: None,
            },
            SimEvent::Commit(first),
            SimEvent::Sync { rev, commit },
        ] = events
        else {
            panic!("{events:?}");
        };
        assert_eq!((&first.since, &first.previous_data), (&None, &None));
        assert_eq!((rev, commit), (&first.rev, &first.commit));
        assert!(network.did_document(&frame.did).is_some());
    }
    assert!(joined >= 5, "{joined}");
}

#[test]
fn handles_are_those_of_the_documents() {
    let mut network = lively(8);
    let mut handles = HashMap::new();
    for _ in 0..500 {
        let frame = network.next().unwrap();
        if let SimEvent::Identity {
            handle: Some(handle),
        } = frame.event
            && handle != "handle.invalid"
        {
            handles.insert(frame.did, handle);
        }
    }
    assert!(handles.len() > 10);
    for (did, handle) in handles {
        let document = network.did_document(&did).unwrap();
        assert!(document.contains(&format!("at://{handle}")), "{document}");
    }
}

#[test]
fn a_network_of_one_account_goes_on() {
    let config = NetworkConfig {
        rare_per_million: 900_000,
        ..config(9, 1)
    };
    assert_eq!(Network::new(config).unwrap().take(300).count(), 300);
}

#[test]
fn accounts_do_not_join_without_end() {
    let config = NetworkConfig {
        rare_per_million: 1_000_000,
        records: 10,
        ..config(6, 5)
    };
    let mut network = Network::new(config).unwrap();
    let last = network.by_ref().nth(5000).unwrap();
    assert_eq!(last.seq, 5001);
    assert_eq!(network.dids().len(), 100);
}
