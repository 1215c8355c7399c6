//! How much is verified, and whose keys are used.
//!
//! - `options`: the options of the command line.
//! - `set_up`: makes the looking up of keys of them.
//! - `resyncs`: counts repositories of which commits are missing, and logs some of them.

mod options;
mod resyncs;
mod set_up;

pub(crate) use options::VerifyOptions;
pub(crate) use resyncs::watch as watch_resyncs;
pub(crate) use set_up::{Keys, follower, policy_line, verify};
