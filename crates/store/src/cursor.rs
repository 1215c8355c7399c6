use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

use crate::seq::Seq;

use serde::{Deserialize, Serialize};

/// How far a reader has come: it has had every event up to and including this position.
///
/// A cursor belongs to one log: a program that stores it stores the log's
/// [`LogId`](crate::LogId) too. As text it is a decimal number, in JSON a number.
///
/// # Examples
///
/// ```
/// use jetwash_store::{Cursor, Seq};
///
/// // Who has had the event at 17 reads on at 18.
/// let cursor = Cursor::after(Seq::new(17));
/// assert_eq!(cursor.next(), Seq::new(18));
/// assert_eq!(Cursor::before(Seq::new(18)), cursor);
/// assert_eq!(cursor.to_string().parse(), Ok(cursor));
/// assert_eq!(Cursor::START.next(), Seq::FIRST);
/// ```
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Cursor(u64);

impl Cursor {
    /// The cursor of a reader that has had nothing.
    pub const START: Self = Self(0);

    /// The cursor that [`get`](Self::get) gave.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Returns the cursor as a number, to be kept in a database.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Returns the cursor of a reader that has had the event at a position, and all before it.
    #[must_use]
    pub const fn after(seq: Seq) -> Self {
        Self(seq.get())
    }

    /// Returns the cursor of a reader that is to have the event at a position next.
    #[must_use]
    pub const fn before(seq: Seq) -> Self {
        Self(seq.get().saturating_sub(1))
    }

    /// Returns the position to read on at.
    #[must_use]
    pub const fn next(self) -> Seq {
        Seq::new(self.0).next()
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Cursor {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}
