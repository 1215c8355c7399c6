//! The frames of a simulated network, which are all true, and the truth that comes with them.

use std::collections::HashMap;

use jetwash_event::Micros;
use jetwash_frame::Frame;
use jetwash_sim::{Network, NetworkConfig, SimEvent};
use jetwash_verify::{
    HostingState, Known, KnownKey, Outcome, PublicKey, RepoState, Skip, Verdict, Verifier,
};

use crate::key_of;

#[test]
fn every_frame_of_a_simulated_network_is_verified_and_leaves_its_state() {
    for seed in 0..2 {
        let config = NetworkConfig {
            seed,
            accounts: 30,
            records: 400,
            rare_per_million: 30_000,
            ..NetworkConfig::default()
        };
        let mut network = Network::new(config).unwrap();
        let mut verifier = Verifier::new();
        let mut keys: HashMap<String, PublicKey> = HashMap::new();
        let mut states: HashMap<String, RepoState> = HashMap::new();
        let mut hosting: HashMap<String, HostingState> = HashMap::new();
        let (mut commits, mut syncs) = (0, 0);
        for _ in 0..1_500 {
            let sent = network.next().unwrap();
            let did = sent.did.to_string();
            let document = network.did_document(&did).unwrap();
            let key = keys
                .entry(did.clone())
                .or_insert_with(|| key_of(&serde_json::from_str(&document).unwrap()));
            let frame = Frame::decode(&sent.bytes).unwrap();
            if let Frame::Account(account) = &frame {
                hosting.insert(did.clone(), account.into());
            }
            let known = Known {
                hosting: hosting.get(&did).copied().unwrap_or_default(),
                state: states.get(&did),
                key: KnownKey::Cached(key),
            };
            // The simulator's own time, so that no revision is of the future.
            let outcome = verifier.verify(&frame, &known, Micros::new(u64::MAX));
            match (&sent.event, outcome) {
                (SimEvent::Commit(commit), Outcome::Judged(judgement)) => {
                    assert_eq!(judgement.verdict, Verdict::Verified, "{commit:?}");
                    let state = judgement.state.unwrap();
                    assert_eq!(state.rev().as_str(), commit.rev);
                    assert_eq!(state.data(), &commit.data);
                    assert!(!state.is_desynchronised());
                    states.insert(did, state);
                    commits += 1;
                }
                // It repeats the commit before it.
                (SimEvent::Sync { .. }, Outcome::Skipped(Skip::Stale)) => syncs += 1,
                (SimEvent::Sync { rev, .. }, Outcome::Judged(judgement)) => {
                    assert_eq!(judgement.verdict, Verdict::Verified);
                    let state = judgement.state.unwrap();
                    assert_eq!(state.rev().as_str(), rev);
                    states.insert(did, state);
                    syncs += 1;
                }
                (SimEvent::Account { .. } | SimEvent::Identity { .. }, outcome) => {
                    assert_eq!(outcome, Outcome::Skipped(Skip::NoRepository));
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(commits > 1_200 && syncs > 0, "{commits} {syncs}");
    }
}
