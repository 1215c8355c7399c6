//! Checks frames, as far as no history is needed: form, proof and signature.
//!
//! - `keys`: the keys of accounts, as far as they are known.
//! - `checked`: what a check found out.
//! - `workers`: threads that check.

mod checked;
mod keys;
mod workers;

pub(crate) use checked::{Checked, Given, check_commit, check_sync};
pub(crate) use keys::{Key, Keys};
pub(crate) use workers::{Done, Outcome, Task, Workers};
