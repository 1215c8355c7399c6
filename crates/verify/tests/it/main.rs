//! The verdicts on recorded frames, on vectors of others, and on frames that were tampered with.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod keys;
