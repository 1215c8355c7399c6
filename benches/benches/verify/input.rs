//! The frames that are verified.

use std::collections::HashMap;

use jetwash::Micros;
use jetwash_sim::{Network, NetworkConfig};
use jetwash_verify::PublicKey;
use serde_json::Value;

/// The time by which frames are judged.
pub(crate) const NOW: Micros = Micros::new(1_900_000_000_000_000);

/// Frames with the keys of their accounts.
pub(crate) struct Input {
    pub(crate) frames: Vec<Vec<u8>>,
    pub(crate) keys: HashMap<String, PublicKey>,
    /// The documents as JSON, of real frames.
    pub(crate) documents: Option<HashMap<String, String>>,
    pub(crate) kind: &'static str,
}

impl Input {
    pub(crate) fn new() -> Self {
        if let Some(corpus) = jetwash_corpus::corpus("real frames, so simulated ones are used") {
            let documents = corpus.json("firehose-2026-07-04/did_docs.json");
            let documents = documents.as_object().unwrap();
            let keys = documents.iter();
            let texts = documents.iter();
            return Self {
                frames: corpus.frames("firehose-2026-07-04/frames.bin.zst"),
                keys: keys
                    .map(|(did, document)| (did.clone(), key_of(document)))
                    .collect(),
                documents: Some(
                    texts
                        .map(|(did, document)| (did.clone(), document.to_string()))
                        .collect(),
                ),
                kind: "real frames",
            };
        }
        let mut network = Network::new(NetworkConfig::full_size()).unwrap();
        let frames: Vec<_> = network.by_ref().take(1000).collect();
        let key = |did: &str| {
            let document = network.did_document(did).unwrap();
            key_of(&serde_json::from_str(&document).unwrap())
        };
        Self {
            keys: frames
                .iter()
                .map(|frame| (frame.did.to_string(), key(&frame.did)))
                .collect(),
            frames: frames.into_iter().map(|frame| frame.bytes).collect(),
            documents: None,
            kind: "simulated frames",
        }
    }
}

fn key_of(document: &Value) -> PublicKey {
    let text = document["verificationMethod"][0]["publicKeyMultibase"].as_str();
    PublicKey::from_multikey(text.unwrap()).unwrap()
}
