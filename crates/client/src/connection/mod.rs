//! From a host's address to its websocket.
//!
//! - `host`: the address, as the caller writes it.
//! - `dialer`: opens a connection, and asks for a websocket or a file.
//! - `tls`: trust in certificates.
//! - `error`: why a connection was not made, or ended.

mod dialer;
mod error;
mod host;
mod tls;

pub(crate) use dialer::{Dialer, DialerOptions};
pub(crate) use error::{ConnectionError, Refusal};
pub use host::HostError;
pub(crate) use host::{Host, Location};
