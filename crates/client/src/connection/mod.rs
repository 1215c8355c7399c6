//! From a host's address to the messages of its websocket.
//!
//! - `host`: the address, as the caller writes it.
//! - `dialer`: opens a connection, and asks for a websocket or a file.
//! - `race`: chooses among the addresses that a name has.
//! - `tls`: trust in certificates.
//! - `http`: the little of HTTP/1.1 that this needs.
//! - `socket`: reads the messages of a websocket, each within a limit.
//! - `error`: why a connection was not made, or ended.

mod dialer;
mod error;
mod host;
mod http;
mod race;
mod socket;
mod tls;

pub(crate) use dialer::{Dialer, DialerOptions};
pub(crate) use error::{ConnectionError, Refusal};
pub use host::HostError;
pub(crate) use host::{Host, Location};
pub(crate) use socket::{Incoming, Socket};
