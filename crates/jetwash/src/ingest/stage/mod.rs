//! Has frames checked on their way from the queue to the pipeline, several at once.
//!
//! The chain is left to the pipeline, which takes the frames in the order in which they came.
//!
//! - `window`: the frames that are being checked, in their order.
//! - `lanes`: the frames that wait for a key, by account.
//! - `check_stage`: both, and the workers, as the writer uses them.

mod check_stage;
mod lanes;
mod window;

pub(crate) use check_stage::{CheckStage, Ready};
pub(crate) use lanes::Held;
