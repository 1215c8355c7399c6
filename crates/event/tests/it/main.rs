//! One binary for all integration tests of the crate.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod binary;
mod content;
mod depth;
mod did_set;
mod encoder;
mod escape;
mod event;
mod filter;
mod interop;
mod labels;
mod oracle;
mod plc_did;
mod record;
mod syntax;
mod to_cbor;
mod v0;
mod v2;
