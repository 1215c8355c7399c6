//! Frames of 2025 that were recorded for the relay of others, with what it makes of them.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use jetwash_cbor::{CborWriter, Cid};
use jetwash_corpus::corpus;
use jetwash_event::Micros;
use jetwash_frame::Frame;
use jetwash_verify::{
    HostingState, Known, KnownKey, Outcome, Policy, Proof, PublicKey, RepoState, SignatureCheck,
    Verdict, Verifier,
};
use serde_json::{Value, json};

/// A relay that keeps the order of sequence numbers, as every caller does.
struct Relay {
    policy: Policy,
    verifier: Verifier,
    last_seq: u64,
    keys: HashMap<String, PublicKey>,
    states: HashMap<String, RepoState>,
    hosting: HashMap<String, HostingState>,
}

impl Relay {
    /// Whether the relay passes a message on.
    fn delivers(&mut self, message: &Value) -> bool {
        let body = &message["frame"]["body"];
        let seq = body["seq"].as_u64().unwrap();
        if seq <= self.last_seq {
            return false;
        }
        self.last_seq = seq;
        let bytes = frame(&message["frame"]["header"], body);
        let frame = Frame::decode(&bytes).unwrap();
        let did = match &frame {
            Frame::Account(account) => {
                self.hosting.insert(account.did.to_owned(), account.into());
                return true;
            }
            Frame::Identity(_) => return true,
            Frame::Commit(commit) => commit.repo,
            Frame::Sync(sync) => sync.did,
            other => panic!("{other:?}"),
        };
        let known = Known {
            hosting: self.hosting.get(did).copied().unwrap_or_default(),
            state: self.states.get(did),
            key: KnownKey::Fresh(&self.keys[did]),
        };
        match self
            .verifier
            .verify(&frame, &known, Micros::new(APRIL_2025_US))
        {
            Outcome::Judged(judgement) => {
                let delivers = self.policy.delivers(judgement.verdict);
                if let Some(state) = judgement.state {
                    self.states.insert(did.to_owned(), state);
                }
                delivers
            }
            Outcome::Needs(_) => panic!("there is a key"),
            Outcome::Skipped(_) => false,
        }
    }
}

#[test]
fn every_message_of_the_relay_scenarios_is_passed_on_or_dropped_as_it_says() {
    let Some(corpus) = corpus("relay scenarios") else {
        return;
    };
    let mut messages = 0;
    for name in [
        "account_lifecycle",
        "post_lifecycle",
        "rev_ordering",
        "seq_ordering",
    ] {
        let scenario = corpus.json(&format!("indigo/relay_scenarios/{name}.json"));
        let keys = scenario["accounts"]
            .as_array()
            .unwrap()
            .iter()
            .map(|account| {
                let identity = &account["identity"];
                assert_eq!(account["status"], "active");
                let key = &identity["keys"]["atproto"];
                let [kind, text] =
                    ["type", "publicKeyMultibase"].map(|name| key[name].as_str().unwrap());
                let key = PublicKey::from_verification_method(kind, text).unwrap();
                (identity["did"].as_str().unwrap().to_owned(), key)
            });
        let is_lenient = scenario["lenient"].as_bool().unwrap();
        let mut relay = Relay {
            policy: if is_lenient {
                Policy::Lenient
            } else {
                Policy::Strict
            },
            verifier: Verifier::new(),
            last_seq: 0,
            keys: keys.collect(),
            states: HashMap::new(),
            hosting: HashMap::new(),
        };
        for (index, message) in (0..).zip(scenario["messages"].as_array().unwrap()) {
            assert_eq!(message["invalid"], false);
            let drop = message["drop"].as_bool().unwrap();
            // Two of the revisions were changed outside the commit object alone, and one of those
            // is not a TID; both are old before they are wrong.
            assert_eq!(relay.delivers(message), !drop, "{name} {index}");
            messages += 1;
        }
    }
    assert_eq!(messages, 18);
}

#[test]
fn commits_older_than_sync_1_1_pass_leniently_and_not_strictly() {
    let Some(corpus) = corpus("commits of February 2025") else {
        return;
    };
    for (number, ops) in [
        ("4621317030", 1),
        ("4621317332", 1),
        ("4621332152", 42),
        ("4623075231", 1),
    ] {
        let body = corpus.json(&format!(
            "indigo/firehose_commits/firehose_commit_{number}.json"
        ));
        let bytes = frame(&json!({"op": 1, "t": "#commit"}), &body);
        let Ok(Frame::Commit(commit)) = Frame::decode(&bytes) else {
            panic!("{number}");
        };
        assert_eq!(commit.ops().len(), ops);
        let claim = Verifier::new()
            .commit(&commit, Micros::new(APRIL_2025_US))
            .unwrap();
        assert_eq!(
            (claim.proof(), claim.missing_records()),
            (Some(Proof::Legacy), 0)
        );
        // Their keys are not recorded.
        let outcome = claim.judge(SignatureCheck::Valid, None);
        assert_eq!(outcome.verdict(), Some(Verdict::Legacy));
        let unsigned = claim.judge(claim.check_signature(KnownKey::Unavailable), None);
        assert_eq!(unsigned.verdict(), Some(Verdict::Unresolved));
        for verdict in [Verdict::Legacy, Verdict::Unresolved] {
            assert!(Policy::Lenient.delivers(verdict) && !Policy::Strict.delivers(verdict));
        }
    }
}

/// A frame from its JSON.
fn frame(header: &Value, body: &Value) -> Vec<u8> {
    let mut writer = CborWriter::new();
    write(&mut writer, header);
    write(&mut writer, body);
    writer.into_bytes()
}

fn write(writer: &mut CborWriter, value: &Value) {
    match value {
        Value::Null => writer.null(),
        Value::Bool(value) => writer.boolean(*value),
        Value::Number(value) => writer.integer(value.as_i64().unwrap()),
        Value::String(value) => writer.text(value),
        Value::Array(list) => {
            writer.array(list.len());
            list.iter().for_each(|item| write(writer, item));
            writer
        }
        Value::Object(map) => {
            if let Some(cid) = map.get("$link") {
                writer.link(&cid.as_str().unwrap().parse::<Cid>().unwrap());
                return;
            }
            if let Some(bytes) = map.get("$bytes") {
                let bytes = bytes.as_str().unwrap().trim_end_matches('=');
                writer.bytes(&STANDARD_NO_PAD.decode(bytes).unwrap());
                return;
            }
            let mut pairs: Vec<_> = map.iter().collect();
            pairs.sort_by_key(|(key, _)| (key.len(), *key));
            writer.map(pairs.len());
            for (key, value) in pairs {
                writer.text(key);
                write(writer, value);
            }
            writer
        }
    };
}

const APRIL_2025_US: u64 = 1_745_000_000_000_000;
