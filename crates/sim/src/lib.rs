//! An AT Protocol network in a box: signed repos, real frames, and a relay on loopback.
//!
//! [`Network`] makes the frames of `com.atproto.sync.subscribeRepos` from a seed, each with the
//! truth about what it says. Signatures, trees, proofs and revisions all hold, so a consumer that
//! verifies everything accepts them; sizes and shares are those of the real network.
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
mod repo;
mod text;
mod traffic;
mod truth;
mod value;

pub use config::{ConfigError, NetworkConfig};
pub use network::{Network, RepoError};
pub use truth::{SimAction, SimCommit, SimEvent, SimFrame, SimOp};
