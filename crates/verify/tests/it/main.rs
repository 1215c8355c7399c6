//! The verdicts on recorded frames, on vectors of others, and on frames that were tampered with.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod chain;
mod codec;
mod hostile;
mod indigo;
mod keys;
mod parts;
mod recorded;
mod scene;
mod simulated;
mod suite;
mod tampering;
mod vectors;

use jetwash_verify::PublicKey;
use serde_json::Value;

/// The signing key of a DID document.
fn key_of(document: &Value) -> PublicKey {
    let methods = document["verificationMethod"].as_array().unwrap();
    let method = methods
        .iter()
        .find(|method| method["id"].as_str().unwrap().ends_with("#atproto"));
    let method = method.unwrap();
    let [kind, text] = ["type", "publicKeyMultibase"].map(|name| method[name].as_str().unwrap());
    PublicKey::from_verification_method(kind, text).unwrap()
}

/// The time at which the recorded frames came, in microseconds.
const RECORDED_US: u64 = 1_783_175_888_000_000;
