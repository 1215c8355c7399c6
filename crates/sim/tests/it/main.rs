//! The promises of the simulated network, one module per side of it.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod accounts;
mod determinism;
mod directory;
mod frames;
mod labeler;
mod manual;
mod oracle;
mod relay;
mod repos;
mod scripted;
mod traffic;

use jetwash_sim::{Network, NetworkConfig};

fn network(seed: u64, accounts: usize) -> Network {
    Network::new(config(seed, accounts)).unwrap()
}

/// Small enough to start at once without the optimiser.
fn config(seed: u64, accounts: usize) -> NetworkConfig {
    NetworkConfig {
        accounts,
        records: 300,
        seed,
        ..NetworkConfig::default()
    }
}
