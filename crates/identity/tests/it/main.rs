//! The promises of the look-up of identities.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod ages;
mod budgets;
mod directories;
mod disk;
mod document;
mod export;
#[cfg(unix)]
mod file_cache;
mod handles;
mod hostile;
mod memory;
mod recorded;
mod server;
mod sharing;
mod source;
mod suspicion;
mod tls;
mod web;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use jetwash_event::{Did, Micros};
use jetwash_identity::{
    DidDocument, FileCache, FileCacheError, Identities, IdentityClock, IdentityOptions,
};
use serde_json::json;

use server::Server;

/// A DID that is written in a test.
fn did(text: &str) -> Did {
    text.parse().unwrap()
}

/// The DID of a number.
fn plc(number: usize) -> Did {
    let digits = b"abcdefghijklmnopqrstuvwxyz234567";
    let digit = |place: u32| char::from(digits[number / 32_usize.pow(place) % 32]);
    let tail: String = (0..6).rev().map(digit).collect();
    did(&format!("did:plc:testtesttesttestte{tail}"))
}

/// A document that has everything, with the key `z` and these digits.
fn document(id: &str, key: &str, handle: &str) -> String {
    json!({
        "id": id,
        "alsoKnownAs": [format!("at://{handle}")],
        "verificationMethod": [{
            "id": format!("{id}#atproto"), "type": "Multikey", "controller": id,
            "publicKeyMultibase": format!("z{key}"),
        }],
        "service": [{
            "id": "#atproto_pds", "type": "AtprotoPersonalDataServer",
            "serviceEndpoint": "https://pds.test",
        }],
    })
    .to_string()
}

/// The document of the DID at the end of a path.
fn document_at(path: &str, key: &str) -> String {
    document(path.rsplit('/').next().unwrap(), key, "alice.test")
}

fn key_of(document: &DidDocument) -> &str {
    &document.signing_key().unwrap().multibase()[1..]
}

/// A clock that a test moves.
#[derive(Clone)]
struct TestClock(Arc<AtomicU64>);

impl TestClock {
    fn new() -> Self {
        Self(Arc::new(AtomicU64::new(1_783_175_888_085)))
    }

    fn advance(&self, time: Duration) {
        let millis = time.as_millis() as u64;
        self.0.fetch_add(millis, Ordering::SeqCst);
    }

    fn go_back(&self, time: Duration) {
        let millis = time.as_millis() as u64;
        self.0.fetch_sub(millis, Ordering::SeqCst);
    }
}

impl IdentityClock for TestClock {
    fn now(&self) -> Micros {
        Micros::new(self.0.load(Ordering::SeqCst) * 1_000)
    }
}

/// Options with this directory, a clock that stands still, and limits that a test can wait for.
fn options(directory: &Server) -> IdentityOptions {
    IdentityOptions::new()
        .directories([directory.url()])
        .clock(TestClock::new())
        .seed(7)
        .request_limit(Duration::from_secs(20))
        .look_up_limit(Duration::from_secs(20))
}

/// Opens a file that was closed a moment ago. A process that another test starts may hold it open
/// until it runs its own program.
fn reopen(path: &Path, max_bytes: u64) -> FileCache {
    let begun = Instant::now();
    loop {
        match FileCache::open(path, max_bytes) {
            Err(FileCacheError::InUse { .. }) if begun.elapsed().as_secs() < 20 => {
                std::thread::yield_now();
            }
            opened => return opened.unwrap(),
        }
    }
}

/// Yields until a condition holds.
async fn until(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(20), wait).await;
    waited.expect("what is waited for does not happen");
}

/// Until no look-up is under way.
async fn until_quiet(identities: &Identities) {
    until(|| identities.snapshot().under_way == 0).await;
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
