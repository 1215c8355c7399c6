//! Verification, as its user sees it.
//!
//! - `settings`: how much is verified, and whose keys are used.
//! - `resync`: repositories of which commits are missing.

mod resync;
mod settings;

pub use resync::{Resync, Resyncs, ResyncsLagged};
pub(crate) use resync::{ResyncSender, ResyncSource};
pub use settings::Verify;
pub(crate) use settings::{HOLD_BYTES, WORKERS};
