use super::store::Store;
use crate::cursor::Cursor;
use crate::ring::{CursorError, check_name};

/// Named cursors: the progress of each of the ring's consumers, kept in the ring itself.
///
/// The numbers mean what the consumer wants them to; most keep the position of the event that they
/// have handled last. The ring only makes sure that a cursor never goes back by accident, not even
/// if two processes take themselves for the same consumer. A cursor is as durable as a commit, and
/// never survives a crash without the events that were committed before it.
///
/// These calls block on the disk, except those that only look.
impl Store {
    /// The value of the cursor `name`; `None` if there is no such cursor.
    #[must_use]
    pub fn named_cursor(&self, name: &str) -> Option<Cursor> {
        self.ring().named.values().get(name).copied()
    }

    /// All named cursors, by name.
    #[must_use]
    pub fn named_cursors(&self) -> Vec<(String, Cursor)> {
        let values = self.ring().named.values();
        let pairs = values.iter().map(|(name, value)| (name.clone(), *value));
        pairs.collect()
    }

    /// Moves the cursor `name` on, if it still is where the caller believes it to be. `None` says
    /// that it does not exist yet.
    ///
    /// # Errors
    ///
    /// When it is somewhere else, would go back, cannot be written, or the name cannot be used.
    /// Nothing is changed then.
    ///
    /// # Examples
    ///
    /// ```
    /// use jetwash_store::{Cursor, CursorError, Location, Options, open};
    ///
    /// let (_appender, store) = open(Location::Memory, Options::default())?;
    /// store.advance_named_cursor("feed", None, Cursor::new(17))?;
    /// store.advance_named_cursor("feed", Some(Cursor::new(17)), Cursor::new(40))?;
    ///
    /// // Another process that takes it to be at 17 gets an error.
    /// let error = store.advance_named_cursor("feed", Some(Cursor::new(17)), Cursor::new(41)).unwrap_err();
    /// let CursorError::Moved { current, .. } = error else { panic!("{error}") };
    /// assert_eq!(current, Some(Cursor::new(40)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn advance_named_cursor(
        &self,
        name: &str,
        expected: Option<Cursor>,
        to: Cursor,
    ) -> Result<(), CursorError> {
        check_name(name)?;
        let (cursors, durable) = (&self.ring().named, &self.ring().durable);
        // No other call may move it between the comparison and the write.
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
    pub fn reset_named_cursor(
        &self,
        name: &str,
        to: Cursor,
    ) -> Result<Option<Cursor>, CursorError> {
        check_name(name)?;
        let cursors = &self.ring().named;
        let _changing = cursors.change();
        let current = self.named_cursor(name);
        cursors.set(&self.ring().durable, name, to)?;
        Ok(current)
    }

    /// Forgets the cursor `name`. Returns where it was.
    ///
    /// # Errors
    ///
    /// When that cannot be written. The cursor is still there then.
    pub fn remove_named_cursor(&self, name: &str) -> Result<Option<Cursor>, CursorError> {
        let cursors = &self.ring().named;
        let _changing = cursors.change();
        let current = self.named_cursor(name);
        if current.is_some() {
            cursors.remove(&self.ring().durable, name)?;
        }
        Ok(current)
    }
}
