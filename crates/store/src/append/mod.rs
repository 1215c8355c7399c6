//! The side that writes.
//!
//! Along the way of an event:
//!
//! - [`appender`] takes it in, with the [`cursors`] of its upstream and what is known of its account
//!   ([`account_state`], [`accounts`]);
//! - [`commit`] makes all of that durable and visible at once;
//! - [`plan`] decides what a commit writes, going by how full things are ([`fill`]);
//! - [`mirrored`] takes in what another log has given out;
//! - [`trim`] forgets the oldest events, by the [`retention_clock`].

mod account_state;
mod accounts;
mod appender;
mod commit;
mod cursors;
mod fill;
mod mirrored;
mod plan;
mod retention_clock;
mod trim;

pub use account_state::{AccountState, PackedRepo};
pub(crate) use accounts::AccountBucket;
pub use appender::Appender;
pub(crate) use appender::AppenderParts;
pub use trim::Trimmed;
