use std::collections::HashMap;
use std::sync::Mutex;

use bytes::Bytes;

/// How much is put aside.
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
