//! Whole repositories as they are served.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use jetwash_cbor::Cid;
use jetwash_frame::Car;
use jetwash_mst::{BlockIndex, Walk};
use jetwash_sim::{Network, NetworkConfig, RepoError, SimEvent, SimFrame};

use crate::{config, network, oracle};

/// The commit's fields, and every record by its path. All records must be there.
fn open(car: &[u8], document: &str) -> (oracle::Fields, BTreeMap<String, (String, Vec<u8>)>) {
    let (root, blocks) = oracle::car(car);
    let commit = blocks.iter().find(|(cid, _)| *cid == root).unwrap();
    let commit = oracle::signed_commit(&commit.1, document);
    let index = BlockIndex::from_car(&Car::parse(car).unwrap()).unwrap();
    assert_eq!(
        index.len(),
        blocks.len(),
        "a block twice, or one that does not match"
    );
    let data: Cid = oracle::link(&commit, "data").unwrap().parse().unwrap();
    let records = Walk::new(&index, data).map(|entry| {
        let entry = entry.unwrap();
        let path = String::from_utf8(entry.key).unwrap();
        (
            path,
            (entry.cid.to_string(), entry.record.unwrap().to_vec()),
        )
    });
    (commit, records.collect())
}

#[test]
fn repositories_follow_their_commits() {
    let mut network = network(11, 12);
    // What each account's records are: at first what it serves, then what its commits say.
    let mut expected = HashMap::new();
    let dids: Vec<String> = network.dids().map(str::to_owned).collect();
    for did in &dids {
        let document = network.did_document(did).unwrap();
        let (_, records) = open(&network.repo_car(did).unwrap(), &document);
        assert!(records.contains_key("app.bsky.actor.profile/self"));
        expected.insert(did.clone(), records);
    }
    let mut states = HashMap::new();
    let mut changed = 0;
    for _ in 0..600 {
        let frame = network.next().unwrap();
        let SimEvent::Commit(commit) = frame.event else {
            continue;
        };
        let records = expected.entry(frame.did.to_string()).or_default();
        for op in commit.ops {
            let path = format!("{}/{}", op.collection, op.rkey);
            let before = match (op.cid, op.record) {
                (Some(cid), Some(record)) => {
                    records.insert(path, (cid.to_string(), record.to_vec()))
                }
                _ => records.remove(&path),
            };
            let before = before.map(|(cid, _)| cid);
            assert_eq!(before, op.previous.map(|cid| cid.to_string()));
            changed += 1;
        }
        states.insert(frame.did.to_string(), (commit.rev, commit.data.to_string()));
    }
    assert!(changed >= 590);
    for (did, records) in expected {
        let document = network.did_document(&did).unwrap();
        let Ok(car) = network.repo_car(&did) else {
            continue;
        };
        let (commit, served) = open(&car, &document);
        assert_eq!(served, records, "{did}");
        if let Some((rev, data)) = states.get(&did) {
            assert_eq!(oracle::text(&commit, "rev"), *rev);
            assert_eq!(oracle::link(&commit, "data").as_ref(), Some(data));
        }
    }
}

#[test]
fn repositories_differ_in_size() {
    let mut network = network(12, 8);
    let dids: Vec<String> = network.dids().map(str::to_owned).collect();
    let mut sizes: Vec<usize> = dids
        .iter()
        .map(|did| network.repo_car(did).unwrap().len())
        .collect();
    sizes.sort_unstable();
    assert!(sizes[0] * 10 < sizes[7], "{sizes:?}");
}

/// They are made when they are needed, so the first frame waits for one, and in a debug build long.
#[test]
fn repositories_of_the_default_size_are_small() {
    let mut network = Network::new(NetworkConfig::default()).unwrap();
    let did = network.dids().next().unwrap().to_owned();
    let size = network.repo_car(&did).unwrap().len();
    assert!((100_000..1_000_000).contains(&size), "{size}");
}

#[test]
fn repositories_of_accounts_that_are_away_are_refused() {
    let config = NetworkConfig {
        rare_per_million: 500_000,
        ..config(13, 20)
    };
    let mut network = Network::new(config).unwrap();
    let mut refused = 0;
    for _ in 0..400 {
        let frame = network.next().unwrap();
        if let SimEvent::Account {
            active: false,
            status,
        } = frame.event
        {
            assert_eq!(
                network.repo_car(&frame.did),
                Err(RepoError::Inactive { status })
            );
            refused += 1;
        }
    }
    assert!(refused > 5);
    assert_eq!(network.repo_car("did:plc:nobody"), Err(RepoError::NotFound));
    assert_eq!(network.did_document("did:plc:nobody"), None);
}

/// The records that were written since the start and are still there, the profiles aside.
#[derive(Default)]
struct Written {
    left: HashSet<(Arc<str>, String, String)>,
    /// The most that there ever were.
    most: usize,
    /// How many records from before the start were removed since there were more than `bound`.
    older: usize,
    was_full: bool,
}

impl Written {
    fn of(config: NetworkConfig, frames: usize) -> Self {
        let bound = usize::try_from(config.kept_records).unwrap();
        let mut written = Self::default();
        for frame in Network::new(config).unwrap().take(frames) {
            written.was_full |= written.left.len() > bound;
            written.follow(frame);
            written.most = written.most.max(written.left.len());
        }
        written
    }

    fn follow(&mut self, frame: SimFrame) {
        match frame.event {
            SimEvent::Commit(commit) => {
                for op in commit.ops {
                    let key = (frame.did.clone(), op.collection, op.rkey);
                    if key.1 == "app.bsky.actor.profile" {
                        continue;
                    }
                    if op.cid.is_some() {
                        self.left.insert(key);
                    } else if !self.left.remove(&key) {
                        self.older += usize::from(self.was_full);
                    }
                }
            }
            SimEvent::Account {
                status: Some("deleted"),
                ..
            } => self.left.retain(|(did, ..)| *did != frame.did),
            _ => {}
        }
    }
}

#[test]
fn written_records_do_not_grow_beyond_their_bound() {
    let written = |kept_records| {
        let config = NetworkConfig {
            kept_records,
            ..config(17, 20)
        };
        Written::of(config, 6000)
    };
    assert!(written(u64::MAX).most > 4000);
    // One commit writes up to 200 records.
    let written = written(500);
    assert!(
        (501..=500 + 200).contains(&written.most),
        "{}",
        written.most
    );
    // To remove one of those would make a part of a tree that accounts share no longer shared.
    assert!(written.was_full);
    assert_eq!(written.older, 0);
}

#[test]
fn records_of_deleted_accounts_make_room_for_others() {
    let config = NetworkConfig {
        rare_per_million: 300_000,
        kept_records: 500,
        ..config(18, 20)
    };
    let written = Written::of(config, 8000);
    assert!(written.left.len() > 400, "{}", written.left.len());
}

#[test]
fn a_bound_on_records_changes_nothing_before_it_is_reached() {
    let bounded = NetworkConfig {
        kept_records: 1000,
        ..config(17, 20)
    };
    let bounded = Network::new(bounded).unwrap();
    let same = bounded
        .zip(Network::new(config(17, 20)).unwrap())
        .take(4000)
        .take_while(|(one, other)| one == other)
        .count();
    assert!((500..3000).contains(&same), "{same}");
}
