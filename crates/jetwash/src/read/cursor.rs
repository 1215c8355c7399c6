use std::fmt;

/// The position of an event in the log. It is never reused, and later events have greater ones.
///
/// A cursor belongs to one log: a program that stores it stores the log's identity too, see
/// [`StartFrom::CursorOf`](crate::StartFrom::CursorOf). As text it is a decimal number.
///
/// # Examples
///
/// ```
/// use jetwash::Cursor;
///
/// let cursor = Cursor::new(17);
/// assert_eq!(cursor.to_string().parse(), Ok(cursor));
/// assert!(cursor < Cursor::new(18));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor(u64);

impl Cursor {
    /// The cursor as a number, to be kept in a database.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The cursor that [`get`](Self::get) gave.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for Cursor {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}
