//! Raw upstream frames, kept beside the events in a ring of their own.
//!
//! Each source has a log, in the order of its sequence numbers. The logs share buckets: keyspaces
//! that are dropped as a whole when all frames together are more than their budget.

mod log;
mod reader;
mod writer;

pub(crate) use log::{FrameRing, StoredFrames};
pub use reader::{FrameBounds, FrameReader, FrameStart, Frames, KeptFrame};
pub(crate) use writer::{FramePlan, FrameWriter};
