//! The documents of a network without the network.

use std::collections::{HashMap, HashSet};

use jetwash_sim::{Network, NetworkConfig, SimDirectory, SimEvent};
use serde_json::Value;

use crate::{config, oracle};

/// Accounts join, leave and return all the time.
fn lively(seed: u64, accounts: usize) -> NetworkConfig {
    NetworkConfig {
        rare_per_million: 300_000,
        ..config(seed, accounts)
    }
}

/// The parts of a document that must not change: all but the handle.
fn fixed(document: &str) -> Value {
    let mut document: Value = serde_json::from_str(document).unwrap();
    let handle = document.as_object_mut().unwrap().remove("alsoKnownAs");
    assert!(handle.is_some());
    document
}

#[test]
fn documents_are_those_of_the_network_at_its_start() {
    let config = config(17, 300);
    let directory = SimDirectory::new(&config).unwrap();
    let network = Network::new(config).unwrap();
    assert_eq!(network.dids().len(), 300);
    for did in network.dids() {
        assert_eq!(directory.document(did), network.did_document(did));
    }
}

#[test]
fn keys_are_those_of_the_network_after_thousands_of_frames() {
    let config = lively(18, 30);
    let directory = SimDirectory::new(&config).unwrap();
    let mut network = Network::new(config).unwrap();
    assert_eq!(network.by_ref().take(5000).count(), 5000);
    // As many as there can be: 90 joined.
    assert_eq!(network.dids().len(), 120);
    let (mut renamed, mut keys) = (0, HashSet::new());
    for did in network.dids() {
        let document = network.did_document(did).unwrap();
        let found = directory.document(did).unwrap();
        let parts = fixed(&found);
        assert_eq!(parts, fixed(&document));
        renamed += usize::from(found != document);
        let key = &parts["verificationMethod"][0]["publicKeyMultibase"];
        keys.insert(key.as_str().unwrap().to_owned());
    }
    assert!(renamed > 0, "no account changed its handle");
    assert_eq!(keys.len(), 120);
    // Both curves occur.
    for start in ["zQ3s", "zDna"] {
        assert!(keys.iter().any(|key| key.starts_with(start)), "{start}");
    }
}

#[test]
fn every_signature_in_the_frames_is_by_the_key_of_the_directory() {
    let config = lively(19, 20);
    let directory = SimDirectory::new(&config).unwrap();
    let mut network = Network::new(config.clone()).unwrap();
    let mut known: HashSet<String> = network.dids().map(str::to_owned).collect();
    let (mut checked, mut joined) = (0, 0);
    let mut frames: Vec<_> = network.by_ref().take(1500).collect();
    let last = frames.last().unwrap().seq;
    // A network that continues later has the same accounts.
    let later = Network::new(config.continuing_after(last)).unwrap();
    frames.extend(later.take(500));
    for frame in &frames {
        joined += usize::from(known.insert(frame.did.to_string()));
        if !matches!(frame.event, SimEvent::Commit(_) | SimEvent::Sync { .. }) {
            continue;
        }
        let (_, message) = oracle::decode(&frame.bytes);
        let (root, blocks) = oracle::car(oracle::bytes(&message, "blocks"));
        let commit = blocks.iter().find(|(cid, _)| *cid == root).unwrap();
        let document = directory.document(&frame.did).unwrap();
        let commit = oracle::signed_commit(&commit.1, &document);
        assert_eq!(oracle::text(&commit, "did"), *frame.did);
        checked += 1;
    }
    assert!(checked > 1000 && joined > 10, "{checked}, {joined}");
}

#[test]
fn a_handle_is_the_first_one_of_its_account() {
    let config = lively(20, 10);
    let directory = SimDirectory::new(&config).unwrap();
    let network = Network::new(config).unwrap();
    let known: HashSet<String> = network.dids().map(str::to_owned).collect();
    let mut first = HashMap::new();
    for frame in network.take(2000) {
        if let SimEvent::Identity { handle } = frame.event
            && !known.contains(&*frame.did)
        {
            first.entry(frame.did).or_insert(handle);
        }
    }
    assert!(first.len() > 10, "{}", first.len());
    for (did, handle) in first {
        let document: Value = serde_json::from_str(&directory.document(&did).unwrap()).unwrap();
        let claimed = format!("at://{}", handle.unwrap());
        assert_eq!(document["alsoKnownAs"][0], claimed);
    }
}

#[test]
fn dids_of_another_network_are_unknown() {
    let directory = SimDirectory::new(&config(21, 500)).unwrap();
    let other = Network::new(config(22, 10_000)).unwrap();
    for did in other.dids() {
        assert_eq!(directory.document(did), None);
    }
    let own = Network::new(config(21, 1)).unwrap();
    let did = own.dids().next().unwrap();
    assert!(directory.document(did).is_some());
    for wrong in [did.to_uppercase(), format!("{did}a"), format!(" {did}")] {
        assert_eq!(directory.document(&wrong), None);
    }
}

#[test]
fn copies_answer_on_all_threads() {
    fn check<T: Clone + Send + Sync + 'static>(_: &T) {}
    let config = config(23, 200);
    let directory = SimDirectory::new(&config).unwrap();
    check(&directory);
    let network = Network::new(config).unwrap();
    let dids: Vec<&str> = network.dids().collect();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let (directory, dids) = (directory.clone(), &dids);
            scope.spawn(move || {
                for did in dids {
                    assert!(directory.document(did).is_some());
                }
            });
        }
    });
}

#[test]
fn a_configuration_that_no_network_has_is_refused() {
    let none = NetworkConfig {
        accounts: 0,
        ..config(1, 1)
    };
    let refused = SimDirectory::new(&none).unwrap_err();
    assert_eq!(refused, Network::new(none).unwrap_err());
}
