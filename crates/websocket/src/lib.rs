//! The client's end of a websocket (RFC 6455), bounded in all that a host sends.
//!
//! - [`interleave`] and [`race`] connect to the first of a host's addresses that answers.
//! - [`Backoff`] says how long to wait before the next attempt.

mod address;
mod backoff;

pub use address::{interleave, race};
pub use backoff::Backoff;
