//! An AT Protocol network in a box: signed repos, real frames, and a relay on loopback.
//!
//! [`Network`] makes the frames of `com.atproto.sync.subscribeRepos` from a seed, each with the
//! truth about its content. Signatures, trees, proofs and revisions all hold, so a consumer that
//! verifies everything accepts them; sizes and shares are those of the real network.
//!
//! [`SimDirectory`] has the DID documents of such a network without the network at hand.
//!
//! [`ManualNetwork`] makes the same kind of frames as a test asks for them: these records, these
//! deletions, this account taken down.
//!
//! With the feature `relay` there are also [`serve`], which puts a network on a socket, together
//! with DID documents and whole repositories, and [`ScriptedRelay`], whose every connection a test
//! plays by hand: send these frames, be silent, break off, fail. [`SimLabeler`] serves labels, those of
//! a [`SimLabel`] each. The feature `cli` adds the program
//! `jetwash-sim`. Both are on by default; without them, the crate has no runtime, no clock and no
//! socket.
//!
//! Programs that embed `jetwash` find all of this for their own tests in `jetwash::testing`.
//!
//! # Examples
//!
//! A hundred frames of a network with ten accounts:
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
//!
//! A record of a test's own, and its end:
//!
//! ```
//! use jetwash_sim::{SimChange, ManualNetwork, did};
//! use serde_json::json;
//!
//! let mut network = ManualNetwork::new();
//! let post = json!({"$type": "app.bsky.feed.post", "text": "Hej", "createdAt": "2026-01-01T00:00:00Z"});
//! let frames = network.apply_all(&[
//!     SimChange::create(did(0), "app.bsky.feed.post", "3mbcxyz222222", post),
//!     SimChange::delete(did(0), "app.bsky.feed.post", "3mbcxyz222222"),
//! ])?;
//! assert_eq!(frames[1].seq, 2);
//! # Ok::<(), jetwash_sim::ChangeError>(())
//! ```

mod account;
mod car;
mod change;
mod clock;
mod config;
mod directory;
mod frames;
mod json;
mod keys;
mod label;
#[cfg(feature = "relay")]
mod labeler;
mod manual;
mod network;
mod population;
mod random;
mod records;
#[cfg(feature = "relay")]
mod relay;
mod repo;
#[cfg(feature = "relay")]
mod scripted;
mod text;
mod traffic;
mod truth;
mod value;

pub use change::{SimChange, SimWrite};
pub use config::{ConfigError, NetworkConfig};
pub use directory::SimDirectory;
pub use json::RecordJsonError;
pub use label::SimLabel;
#[cfg(feature = "relay")]
pub use labeler::SimLabeler;
pub use manual::{ChangeError, ChangeFault, ManualNetwork, did};
pub use network::{Network, RepoError};
#[cfg(feature = "relay")]
pub use relay::{ParseRateError, Rate, RelayConfig, serve};
#[cfg(feature = "relay")]
pub use scripted::{ScriptError, ScriptedConnection, ScriptedRelay};
pub use truth::{SimAction, SimCommit, SimEvent, SimFrame, SimOp};
