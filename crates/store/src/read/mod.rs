//! The side that reads: everything that a [`Store`] can be asked.
//!
//! - [`store`] reads events from a position or a time on;
//! - [`bounds`], [`remaining`] and [`usage`] tell how much there is;
//! - [`named_cursors`] and [`dead_letters`] keep what a consumer has done, and what it could not do, each
//!   as a [`letter`].

mod bounds;
mod dead_letters;
mod letter;
mod named_cursors;
mod remaining;
mod store;
mod usage;

pub use bounds::Bounds;
pub use dead_letters::DeadLetters;
pub use letter::{DeadLetterError, LetterLimits, NewDeadLetter, StoredLetter};
pub use remaining::Remaining;
pub use store::Store;
pub use usage::Usage;
