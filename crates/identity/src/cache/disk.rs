use std::io;

/// Keeps documents from one run to the next. It may forget any of them at any time.
///
/// The methods may block. They are called on threads for that, up to sixteen at once, and values
/// are checked when they are read: one that is damaged in part counts as missing.
///
/// # Examples
///
/// ```
/// use std::collections::HashMap;
/// use std::io;
/// use std::sync::{Mutex, PoisonError};
///
/// use jetwash_identity::DiskCache;
///
/// /// Forgets everything at the end, and is good for a test.
/// #[derive(Default)]
/// struct Kept(Mutex<HashMap<Vec<u8>, Vec<u8>>>);
///
/// impl DiskCache for Kept {
///     fn get(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
///         Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned())
///     }
///     fn put(&self, key: &[u8], value: &[u8]) -> io::Result<bool> {
///         let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
///         kept.insert(key.to_vec(), value.to_vec());
///         Ok(true)
///     }
///     fn remove(&self, key: &[u8]) -> io::Result<()> {
///         self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
///         Ok(())
///     }
///     fn note(&self) -> io::Result<Option<Vec<u8>>> {
///         self.get(b"note")
///     }
///     fn set_note(&self, note: &[u8]) -> io::Result<()> {
///         self.put(b"note", note).map(|_| ())
///     }
/// }
/// assert!(Kept::default().put(b"did:web:a.test", b"value")?);
/// # Ok::<(), io::Error>(())
/// ```
pub trait DiskCache: Send + Sync + 'static {
    /// Reads a value. Returns `None` if it is missing or damaged.
    ///
    /// # Errors
    ///
    /// When the disk cannot be read.
    fn get(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>>;

    /// Keeps a value in the place of any other under its key. Returns `false` if it was not kept,
    /// because it is too long.
    ///
    /// # Errors
    ///
    /// When the disk cannot be written to.
    fn put(&self, key: &[u8], value: &[u8]) -> io::Result<bool>;

    /// Forgets a value.
    ///
    /// # Errors
    ///
    /// When the disk cannot be written to.
    fn remove(&self, key: &[u8]) -> io::Result<()>;

    /// Reads the note, which is never forgotten. Returns `None` if it is missing or damaged.
    ///
    /// # Errors
    ///
    /// When the disk cannot be read.
    fn note(&self) -> io::Result<Option<Vec<u8>>>;

    /// Keeps a note of up to 256 bytes in the place of any other. Values that were put before must
    /// be on the disk before the note is: it says up to where they are complete.
    ///
    /// # Errors
    ///
    /// When the disk cannot be written to, or the note is too long.
    fn set_note(&self, note: &[u8]) -> io::Result<()>;
}
