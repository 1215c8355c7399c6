//! Raw upstream frames, kept beside the events in a ring of their own.
//!
//! Each source has a log, in the order of its sequence numbers. The logs share buckets: keyspaces
//! that are dropped as a whole when all frames together are more than their budget.
//!
//! - [`writer`] is the appender's side, [`reader`] that of the readers;
//! - [`log`] is what they share: the logs and their buckets, with each frame that is [`kept`].

mod kept;
mod log;
mod reader;
mod writer;

pub use kept::KeptFrame;
pub(crate) use log::{FrameRing, StoredFrames};
pub use reader::{FrameBounds, FrameReader, FrameStart, Frames};
pub(crate) use writer::{FramePlan, FrameWriter};
