//! A client of Jetstream servers, versions 1 and 2: a stream of events that survives reconnects.

#![allow(dead_code, unused_imports, unreachable_pub, reason = "the parts come one by one")]

mod connection;
mod cursor;
mod filter;
mod item;
mod protocol;
mod resume;
mod wire;

pub use connection::HostError;
pub use cursor::{ParseUpstreamCursorError, UpstreamCursor};
pub use filter::ClientFilter;
pub use item::{ClientGap, ClientGapCause, ClientItem, Connected, Disconnected};
pub use protocol::Protocol;
pub use wire::{ClientBody, ClientCommit, ClientEvent, ClientKind, ClientSync, Malformed};
