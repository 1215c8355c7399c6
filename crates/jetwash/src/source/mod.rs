//! Where frames come from: relays, a simulated network, and streams that the caller supplies.
//!
//! - `options`: the caller's settings for relays, checked before any socket is opened.
//! - `endpoint`: the address of a relay.
//! - `relay`: follows one relay: connects, reads, waits and connects again (`backoff`).
//! - `dial`: opens a connection, directly or through a proxy (`address`, `proxy`, `socks`, `http`,
//!   `tls`), and gives a `socket` of websocket messages.
//! - `steps`, `pulse` and `state`: judge how a connection does, and tell it to the caller.
//! - `error`: why a connection ended.
//! - `simulator`: a network in the process, with the feature of that name.

mod address;
mod backoff;
mod dial;
mod endpoint;
mod error;
mod http;
mod options;
mod proxy;
mod pulse;
mod relay;
#[cfg(feature = "simulator")]
mod simulator;
mod socket;
mod socks;
mod state;
mod steps;

pub use endpoint::{Endpoint, EndpointError};
pub(crate) use options::Prepared;
pub use options::{RelayOptionError, RelayOptions};
pub(crate) use relay::Relay;
#[cfg(feature = "simulator")]
pub use simulator::SIMULATOR;
pub use state::{NotReady, Upstream, UpstreamState};
pub(crate) use state::{Watch, describe};
