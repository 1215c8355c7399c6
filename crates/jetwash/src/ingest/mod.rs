//! The way into the log, in the order in which a frame takes it.
//!
//! - `intake`: the bounded queue between the sources and the writer.
//! - `inbox`: all that the writer is asked, frames and questions.
//! - `writer`: the thread that takes frames from the queue and commits them.
//! - `check` and `stage`: verifies frames, on threads of their own and yet in order.
//! - `pipeline`: turns frames into events and appends them.
//! - `numbering` and `dedup`: tell what is next, what is repeated and what is missing.
//! - `late`: tells what a Jetstream brings late from what it repeats.
//! - `host_place` and `malformed`: how far a Jetstream is, and what it sends that is no event.
//! - `mirroring`: a connection to the log that this one mirrors.
//! - `record_cache`: the latest records, for a later event to look back at.
//! - `tally`: counts for the `metrics` facade.
//! - `log_time`: the time that events get, whatever the clock does.
//! - `cursors`: how far the sources are, as of the last commit.
//! - `dictionaries`, `auto_dictionary` and `trainer`: the dictionary in use, and better ones.

mod auto_dictionary;
mod check;
mod cursors;
mod dedup;
mod dictionaries;
mod host_place;
mod inbox;
mod intake;
mod late;
mod log_time;
mod malformed;
mod mirroring;
mod numbering;
mod pipeline;
mod record_cache;
mod stage;
mod tally;
mod trainer;
mod writer;

pub use auto_dictionary::AutoDictionary;
pub(crate) use check::Keys;
pub(crate) use cursors::{Known, SourceCursors};
pub(crate) use dictionaries::Dictionaries;
pub use dictionaries::RotateError;
pub(crate) use host_place::HostPlace;
pub(crate) use inbox::{Inbox, Question};
pub use intake::Stopped;
pub(crate) use intake::{Content, Intake};
pub(crate) use log_time::LogTime;
pub(crate) use malformed::malformed_reason;
pub(crate) use mirroring::{MirrorConnection, MirrorRefusal, newest_time};
pub(crate) use numbering::GREATEST_NUMBER;
pub use pipeline::Pipeline;
pub(crate) use record_cache::RecordCache;
pub(crate) use stage::CheckStage;
pub(crate) use trainer::attend;
pub(crate) use writer::Writer;
