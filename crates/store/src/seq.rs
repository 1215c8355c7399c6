use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The position of an event in the log. Later events have greater ones, and none is given out twice.
///
/// Positions count from 1. They mean nothing in another log: see [`LogId`](crate::LogId). The numbers
/// of an upstream are not positions, and are plain `u64`s.
///
/// # Examples
///
/// ```
/// use jetwash_store::Seq;
///
/// let seq = Seq::FIRST.next();
/// assert_eq!((seq.get(), seq.since(Seq::FIRST)), (2, 1));
/// assert_eq!(seq.plus(3), Seq::new(5));
/// assert_eq!("5".parse(), Ok(Seq::new(5)));
/// ```
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Seq(u64);

impl Seq {
    /// The position of a log's first event.
    pub const FIRST: Self = Self(1);

    /// The greatest position that there can be.
    pub const MAX: Self = Self(u64::MAX);

    /// The position that [`get`](Self::get) gave.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Returns the position as a number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Returns the next position.
    #[must_use]
    pub const fn next(self) -> Self {
        self.plus(1)
    }

    /// Returns the position before this one, or 0 before the first.
    #[must_use]
    pub const fn previous(self) -> Self {
        self.minus(1)
    }

    /// Returns the position that is this many events on.
    #[must_use]
    pub const fn plus(self, events: u64) -> Self {
        Self(self.0.saturating_add(events))
    }

    /// Returns the position that is this many events back, or 0 if that is before the first.
    #[must_use]
    pub const fn minus(self, events: u64) -> Self {
        Self(self.0.saturating_sub(events))
    }

    /// Returns the number of positions from an earlier one, itself included, up to this one: zero
    /// if that is the later one.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Seq {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}
