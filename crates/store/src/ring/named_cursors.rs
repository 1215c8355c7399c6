use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use thiserror::Error;

use crate::backend::{Batch, Durable, state};
use crate::cursor::Cursor;
use crate::error::StoreError;

/// Why a named cursor was not changed.
///
/// # Examples
///
/// ```
/// use jetwash_store::{Cursor, CursorError, Location, Options, open};
///
/// let (_appender, store) = open(Location::Memory, Options::default())?;
/// store.advance_named_cursor("feed", None, Cursor::new(40))?;
/// match store.advance_named_cursor("feed", Some(Cursor::new(40)), Cursor::new(17)) {
///     Err(CursorError::Backwards { current, to, .. }) => assert!(to < current),
///     moved => panic!("{moved:?}"),
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CursorError {
    /// It would go back, which only
    /// [`Store::reset_named_cursor`](crate::Store::reset_named_cursor) does.
    #[error("the cursor {name:?} would go back from {current} to {to}")]
    Backwards {
        /// The cursor's name.
        name: String,
        /// Its value.
        current: Cursor,
        /// The value that was refused.
        to: Cursor,
    },
    /// Another process has moved it, or this one has not looked where it is. Find out who else uses
    /// the name before going on from `current`.
    #[error("the cursor {name:?} is at {}, not at {}", shown(*current), shown(*expected))]
    Moved {
        /// The cursor's name.
        name: String,
        /// The value that the caller expected.
        expected: Option<Cursor>,
        /// Its value; `None` if it does not exist.
        current: Option<Cursor>,
    },
    /// The name is empty, longer than 128 bytes, or contains control characters.
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
    #[error("there are {limit} named cursors already; remove those that are not in use")]
    TooMany {
        /// The limit.
        limit: usize,
    },
}

/// The cursors of a ring.
#[derive(Default)]
pub(crate) struct NamedCursors {
    values: RwLock<BTreeMap<String, Cursor>>,
    /// Held while one is written, so that a look at the values never waits for the disk.
    changing: Mutex<()>,
}

impl NamedCursors {
    pub(crate) fn new(values: BTreeMap<String, Cursor>) -> Self {
        Self {
            values: RwLock::new(values),
            changing: Mutex::new(()),
        }
    }

    pub(crate) fn set(&self, durable: &Durable, name: &str, to: Cursor) -> Result<(), CursorError> {
        let values = self.values();
        if values.len() >= MAX_CURSORS && !values.contains_key(name) {
            return Err(CursorError::TooMany { limit: MAX_CURSORS });
        }
        drop(values);
        let mut batch = Batch::default();
        batch.set(state::named_key(name), state::encode_numbers(&[to.get()]));
        write(durable, &batch)?;
        self.values_mut().insert(name.to_owned(), to);
        Ok(())
    }

    pub(crate) fn remove(&self, durable: &Durable, name: &str) -> Result<(), CursorError> {
        let mut batch = Batch::default();
        batch.remove(state::named_key(name));
        write(durable, &batch)?;
        self.values_mut().remove(name);
        Ok(())
    }

    /// Waits until no other call changes a cursor.
    pub(crate) fn change(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn values(&self) -> RwLockReadGuard<'_, BTreeMap<String, Cursor>> {
        self.values.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn values_mut(&self) -> RwLockWriteGuard<'_, BTreeMap<String, Cursor>> {
        self.values.write().unwrap_or_else(PoisonError::into_inner)
    }
}

const MAX_NAME: usize = 128;
const MAX_CURSORS: usize = 4096;

pub(crate) fn check_name(name: &str) -> Result<(), CursorError> {
    let fits = (1..=MAX_NAME).contains(&name.len());
    if fits && !name.contains(char::is_control) {
        return Ok(());
    }
    Err(CursorError::Name {
        name: name.chars().take(MAX_NAME).collect(),
    })
}

fn shown(value: Option<Cursor>) -> String {
    value.map_or_else(|| "no place yet".to_owned(), |value| value.to_string())
}

fn write(durable: &Durable, batch: &Batch) -> Result<(), CursorError> {
    let written = durable.write(batch);
    written.map_err(|source| CursorError::Store(StoreError::storage("write a cursor")(source)))
}
