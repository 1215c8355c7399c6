//! The end of the log, and how its events reach all subscribers that have caught up.
//!
//! [`live`] follows the log once for all of them and gathers new events into a [`batch`]. A
//! [`shard`] writes each batch to its few dozen subscribers, each of which has a [`seat`] there. The
//! [`cost`] of that decides how long events are gathered.

pub(crate) mod batch;
pub(crate) mod cost;
pub(crate) mod live;
#[cfg(test)]
mod models;
pub(crate) mod seat;
pub(crate) mod shard;
mod sync;
