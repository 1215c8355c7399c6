//! The end of the log, and how its events reach all subscribers that have caught up.
//!
//! [`live`] follows the log once for all of them and gathers new events into a [`batch`]; a
//! [`shard`] writes each batch to its few dozen subscribers.

pub(crate) mod batch;
pub(crate) mod live;
pub(crate) mod shard;
