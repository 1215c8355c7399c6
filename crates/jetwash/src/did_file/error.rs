use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why a [`DidFile`](crate::DidFile) could not be loaded or saved.
///
/// # Examples
///
/// ```
/// use jetwash::{DidFile, DidFileError, DidSet};
///
/// let error = DidFile::new("not-there.txt", DidSet::new()).load().unwrap_err();
/// match &*error {
///     DidFileError::Line { line, what, .. } => println!("line {line}: {what}"),
///     other => assert!(other.to_string().starts_with("not-there.txt: ")),
/// }
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DidFileError {
    /// A line is not as it should be.
    #[error("{}:{line}: {what}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The number of the line, counted from 1.
        line: u64,
        /// The mistake in it.
        what: String,
    },
    /// The file cannot be read, or is not compressed as it says it is.
    #[error("{}: cannot be read after line {line}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// How many lines could be read.
        line: u64,
        /// Why not.
        source: io::Error,
    },
    /// The file cannot be written. The one before it, if any, is still there.
    #[error("{}: cannot be saved: {source}", path.display())]
    Save {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}
