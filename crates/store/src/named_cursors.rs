use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use thiserror::Error;

use crate::backend::Batch;
use crate::backend::Durable;
use crate::backend::state;
use crate::error::StoreError;
use crate::store::Store;

/// Named cursors: how far each of the ring's consumers has got, kept in the ring itself.
///
/// What the numbers mean is the consumers' affair; most keep the position of the event that they
/// have dealt with last. The ring only sees to it that a cursor never goes back by accident, not
/// even if two processes believe to be the same consumer. A cursor is as durable as a commit, and
/// never survives a crash without the events that were committed before it.
///
/// These calls block on the disk, except those that only look.
impl Store {
    /// The value of the cursor `name`; `None` if there is no such cursor.
    #[must_use]
    pub fn named_cursor(&self, name: &str) -> Option<u64> {
        self.named().values().get(name).copied()
    }

    /// All named cursors, by name.
    #[must_use]
    pub fn named_cursors(&self) -> Vec<(String, u64)> {
        let values = self.named().values();
        let pairs = values.iter().map(|(name, value)| (name.clone(), *value));
        pairs.collect()
    }

    /// Moves the cursor `name` on, if it still is where the caller believes it to be. `None` says
    /// that there is none yet.
    ///
    /// # Errors
    ///
    /// When it is somewhere else, would go back, cannot be written, or the name cannot be used.
    /// Nothing is changed then.
    ///
    /// # Examples
    ///
    /// ```
    /// use jetwash_store::{CursorError, Location, Options, open};
    ///
    /// let (_appender, store) = open(Location::Memory, Options::default())?;
    /// store.advance_named_cursor("feed", None, 17)?;
    /// store.advance_named_cursor("feed", Some(17), 40)?;
    ///
    /// // Another one that believes to be at 17 is told.
    /// let error = store.advance_named_cursor("feed", Some(17), 41).unwrap_err();
    /// assert!(matches!(error, CursorError::Moved { current: Some(40), .. }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn advance_named_cursor(
        &self,
        name: &str,
        expected: Option<u64>,
        to: u64,
    ) -> Result<(), CursorError> {
        check_name(name)?;
        let (cursors, durable) = (self.named(), self.durable());
        let _changing = cursors.change();
        let current = self.named_cursor(name);
        if current != expected {
            return Err(CursorError::Moved {
                name: name.to_owned(),
                expected,
                current,
            });
        }
        match current {
            Some(current) if to < current => Err(CursorError::Backwards {
                name: name.to_owned(),
                current,
                to,
            }),
            Some(current) if to == current => Ok(()),
            _ => cursors.set(durable, name, to),
        }
    }

    /// Puts the cursor `name` anywhere, back too: for a consumer that is to begin again. Returns
    /// where it was.
    ///
    /// # Errors
    ///
    /// When it cannot be written, or the name cannot be used.
    pub fn reset_named_cursor(&self, name: &str, to: u64) -> Result<Option<u64>, CursorError> {
        check_name(name)?;
        let cursors = self.named();
        let _changing = cursors.change();
        let current = self.named_cursor(name);
        cursors.set(self.durable(), name, to)?;
        Ok(current)
    }

    /// Forgets the cursor `name`. Returns where it was.
    ///
    /// # Errors
    ///
    /// When that cannot be written. The cursor is still there then.
    pub fn remove_named_cursor(&self, name: &str) -> Result<Option<u64>, CursorError> {
        let cursors = self.named();
        let _changing = cursors.change();
        let current = self.named_cursor(name);
        if current.is_some() {
            let mut batch = Batch::default();
            batch.remove(state::named_key(name));
            write(self.durable(), &batch)?;
            cursors.values_mut().remove(name);
        }
        Ok(current)
    }
}

/// Why a named cursor was not changed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CursorError {
    /// It would go back. [`Store::reset_named_cursor`] does that on purpose.
    #[error("the cursor {name:?} would go back from {current} to {to}")]
    Backwards {
        /// The cursor's name.
        name: String,
        /// Where it is.
        current: u64,
        /// Where it was to go.
        to: u64,
    },
    /// Somebody else has moved it, or this process has not looked where it is. Whoever is told
    /// should find out who else uses the name before going on from `current`.
    #[error("the cursor {name:?} is at {}, not at {}", shown(*current), shown(*expected))]
    Moved {
        /// The cursor's name.
        name: String,
        /// Where the caller believed it to be.
        expected: Option<u64>,
        /// Where it is; `None` if there is none.
        current: Option<u64>,
    },
    /// A name that is empty, longer than 128 bytes, or has control characters in it.
    #[error(
        "a cursor cannot be named {name:?}: 1 to 128 bytes without control characters are allowed"
    )]
    Name {
        /// The name; of a long one, the beginning.
        name: String,
    },
    /// It cannot be written.
    #[error(transparent)]
    Store(StoreError),
    /// There are 4096 cursors, and this would be one more.
    #[error("there are {limit} named cursors already; remove those that nobody uses")]
    TooMany {
        /// How many there may be.
        limit: usize,
    },
}

/// The cursors of a ring.
#[derive(Default)]
pub(crate) struct NamedCursors {
    values: RwLock<BTreeMap<String, u64>>,
    /// Held while one is written, so that those who only look never wait for the disk.
    changing: Mutex<()>,
}

impl NamedCursors {
    pub(crate) fn new(values: BTreeMap<String, u64>) -> Self {
        Self {
            values: RwLock::new(values),
            changing: Mutex::new(()),
        }
    }

    fn set(&self, durable: &Durable, name: &str, to: u64) -> Result<(), CursorError> {
        let values = self.values();
        if values.len() >= MAX_CURSORS && !values.contains_key(name) {
            return Err(CursorError::TooMany { limit: MAX_CURSORS });
        }
        drop(values);
        let mut batch = Batch::default();
        batch.set(state::named_key(name), state::encode_numbers(&[to]));
        write(durable, &batch)?;
        self.values_mut().insert(name.to_owned(), to);
        Ok(())
    }

    fn change(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn values(&self) -> RwLockReadGuard<'_, BTreeMap<String, u64>> {
        self.values.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn values_mut(&self) -> RwLockWriteGuard<'_, BTreeMap<String, u64>> {
        self.values.write().unwrap_or_else(PoisonError::into_inner)
    }
}

const MAX_NAME: usize = 128;
const MAX_CURSORS: usize = 4096;

fn check_name(name: &str) -> Result<(), CursorError> {
    let fits = (1..=MAX_NAME).contains(&name.len());
    if fits && !name.contains(char::is_control) {
        return Ok(());
    }
    Err(CursorError::Name {
        name: name.chars().take(MAX_NAME).collect(),
    })
}

fn write(durable: &Durable, batch: &Batch) -> Result<(), CursorError> {
    let written = durable.write(batch);
    written.map_err(|source| CursorError::Store(StoreError::storage("write a cursor")(source)))
}

fn shown(value: Option<u64>) -> String {
    value.map_or_else(|| "no place yet".to_owned(), |value| value.to_string())
}
