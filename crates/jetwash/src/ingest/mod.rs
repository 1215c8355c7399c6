//! The way into the log, in the order in which a frame takes it.
//!
//! - `intake`: the bounded queue between the sources and the writer.
//! - `pipeline`: turns frames into events and appends them.
//! - `numbering` and `dedup`: tell what is next, what is repeated and what is missing.
//! - `record_cache`: the latest records, for a later event to look back at.
//! - `tally`: counts for the `metrics` facade.
//! - `log_time`: the time that events get, whatever the clock does.

mod dedup;
mod intake;
mod log_time;
mod numbering;
mod pipeline;
mod record_cache;
mod tally;

pub use intake::Stopped;
pub(crate) use intake::{Arrival, Content, Intake};
pub(crate) use log_time::{ClockNews, LogTime};
pub use pipeline::Pipeline;
pub(crate) use record_cache::RecordCache;
