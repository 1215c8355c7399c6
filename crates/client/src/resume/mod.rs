//! From one connection to the next: nothing twice, and nothing lost without a word.
//!
//! - `place`: where the stream stands, and the decision on each event.
//! - `joint`: how a connection is joined to the one before.
//! - `window`: recognises the events of the last seconds.
//! - `model`: hosts as a model, for tests.

mod joint;
#[cfg(test)]
mod model;
mod place;
mod window;

pub(crate) use place::{Mark, Resume, Verdict};
