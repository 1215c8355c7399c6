//! An AT Protocol network in a box: signed repos, real frames, and a relay on loopback.
//!
//! [`Network`] makes the frames of `com.atproto.sync.subscribeRepos` from a seed, each with the
//! truth about what it says. Signatures, trees, proofs and revisions all hold, so a consumer that
//! verifies everything accepts them; sizes and shares are those of the real network.
//!
//! With the feature `relay` there is also [`serve`], which puts a network on a socket, together
//! with DID documents and whole repositories. The feature `cli` adds the program `jetwash-sim`. Both
//! are on by default; without them, the crate has no runtime, no clock and no socket.
//!
//!
//! # Examples
//!
//! ```
//! use jetwash_sim::{Network, NetworkConfig, SimEvent};
//!
//! let config = NetworkConfig {
//!     accounts: 10,
//!     records: 200,
//!     ..NetworkConfig::default()
//! };
//! let ops: usize = Network::new(config)?
//!     .take(100)
//!     .map(|frame| match frame.event {
//!         SimEvent::Commit(commit) => commit.ops.len(),
//!         _ => 0,
//!     })
//!     .sum();
//! assert!(ops >= 95);
//! # Ok::<(), jetwash_sim::ConfigError>(())
//! ```

mod account;
mod car;
mod clock;
mod config;
mod frames;
mod keys;
mod network;
mod population;
mod random;
mod records;
#[cfg(feature = "relay")]
mod relay;
mod repo;
mod text;
mod traffic;
mod truth;
mod value;

pub use config::{ConfigError, NetworkConfig};
pub use network::{Network, RepoError};
#[cfg(feature = "relay")]
pub use relay::{ParseRateError, Rate, RelayConfig, serve};
pub use truth::{SimAction, SimCommit, SimEvent, SimFrame, SimOp};
