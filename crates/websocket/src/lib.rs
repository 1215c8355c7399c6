//! The client's end of a websocket (RFC 6455), bounded in all that a host sends.
//!
//! - A [`Request`] asks for the websocket over HTTP/1.1, and a [`Head`] is what the host answers.
//! - [`interleave`] and [`race`] connect to the first of a host's addresses that answers.
//! - [`Backoff`] says how long to wait before the next attempt.

mod address;
mod backoff;
mod body;
mod error;
mod head;
mod request;

pub use address::{interleave, race};
pub use backoff::Backoff;
pub use error::{SocketError, short};
pub use head::Head;
pub use request::Request;
