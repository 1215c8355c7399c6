use std::collections::HashMap;
use std::sync::Mutex;

use bytes::Bytes;

/// How much is put aside.
///
/// # Examples
///
/// ```
/// use jetwash_store::{LetterTotals, Location, Options, open};
///
/// let (_appender, store) = open(Location::Memory, Options::default())?;
/// assert_eq!(store.dead_letters("feed").held()?, LetterTotals::default());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LetterTotals {
    /// How many letters.
    pub letters: u64,
    /// How many bytes they take together.
    pub bytes: u64,
}

impl LetterTotals {
    pub(crate) fn of((_, value): &(Bytes, Bytes)) -> Self {
        Self {
            letters: 1,
            bytes: value.len() as u64,
        }
    }
}

/// The totals of those consumers that were asked for.
pub(crate) type KnownTotals = Mutex<HashMap<String, LetterTotals>>;
