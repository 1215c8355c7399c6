//! A client of Jetstream servers, versions 1 and 2: a stream of events that survives reconnects.

#![allow(dead_code, unused_imports, unreachable_pub, reason = "the parts come one by one")]

mod connection;
mod protocol;
mod wire;

pub use connection::HostError;
pub use protocol::Protocol;
pub use wire::{ClientBody, ClientCommit, ClientEvent, ClientKind, ClientSync, Malformed};
