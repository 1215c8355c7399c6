//! Follows labelers.
//!
//! - `address`: where a labeler is, and who it is.
//! - `index`: a labeler whose labels go into an index, and nowhere else.
//! - `events`: a labeler whose labels go into a log, and into an index beside it.
//! - `expiry`: tells an index what time it is.
//! - `settings`: what the caller sets for them.

mod address;
mod events;
mod expiry;
mod index;
mod settings;

pub(crate) use address::LabelerAddress;
pub(crate) use events::LabelerSource;
pub(crate) use index::IndexFeed;
pub(crate) use settings::{Labelers, PreparedLabelers};
