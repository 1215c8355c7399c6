//! Follows another jetwash whose log this one takes over as it is: positions, times and bytes.
//!
//! - `address`: the address of a host, checked before any socket is opened.
//! - `mirror_source`: the hosts that have the log, and how they are connected to.
//! - `hosts`: whose turn it is, and how long each is left alone.
//! - `request`: the place from which a host is asked to continue.
//! - `connection`: the messages of one connection, handed over to the writer in order.
//! - `feed`: the task that makes one connection after another.
//! - `end`: why a connection ended.

mod address;
mod connection;
mod end;
mod feed;
mod hosts;
mod mirror_source;
mod request;

pub use address::MirrorAddressError;
pub(crate) use feed::MirrorFeed;
pub(crate) use mirror_source::MirrorSource;
