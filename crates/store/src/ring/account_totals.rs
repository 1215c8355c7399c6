use std::sync::{Mutex, PoisonError};

/// The states of accounts on disk, as of the last opening or trim.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AccountTotal {
    pub(crate) bytes: u64,
    pub(crate) entries: u64,
    /// Entries that were dropped since the opening.
    pub(crate) dropped: u64,
}

/// The same, shared: the appender sets it, and readers ask for it.
#[derive(Default)]
pub(crate) struct AccountTotals(Mutex<AccountTotal>);

impl AccountTotals {
    pub(crate) fn get(&self) -> AccountTotal {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set(&self, total: AccountTotal) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = total;
    }
}
