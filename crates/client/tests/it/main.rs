//! The client before servers written by hand, over real sockets, and before the server of this
//! project.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod basics;
mod compression;
mod damage;
mod errors;
mod events;
mod failover;
mod filter;
mod own_server;
mod resume;
mod server;
mod settings;
mod silence;
mod tls;
