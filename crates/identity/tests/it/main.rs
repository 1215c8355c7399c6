//! The promises of the look-up of identities.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod document;
#[cfg(unix)]
mod file_cache;
mod recorded;

use jetwash_event::Did;

/// A DID that is written in a test.
fn did(text: &str) -> Did {
    text.parse().unwrap()
}
