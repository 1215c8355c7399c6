use std::fmt;
use std::path::{Path, PathBuf};

use crate::seq::Seq;

use thiserror::Error;

/// The error of a backend, which the ring only passes on.
pub(crate) type BackendError = Box<dyn std::error::Error + Send + Sync>;

/// Why a ring could not be opened.
///
/// # Examples
///
/// ```
/// use jetwash_store::{Location, OpenError, Options, open};
///
/// let folder = tempfile::tempdir()?;
/// let place = || Location::Disk(folder.path().to_owned());
/// let _first = open(place(), Options::default())?;
/// match open(place(), Options::default()) {
///     Err(OpenError::InUse { path }) => assert_eq!(path, folder.path()),
///     _ => panic!("it is open already"),
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The folder cannot be created, read or written.
    #[error("cannot use the folder {}: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// Another process, or another ring in this one, has the folder open, and still has it after a
    /// second.
    #[error(
        "the store in {} is already open elsewhere: end that process, or use another folder",
        path.display()
    )]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The store was written by a newer version of this crate, or the folder holds something else's
    /// data.
    #[error(
        "the store in {} has format {found}, this version reads format {supported}; \
         open it with a newer version, or begin anew in another folder",
        path.display()
    )]
    Format {
        /// The folder.
        path: PathBuf,
        /// The format that was found.
        found: String,
        /// The format that this version writes. It reads earlier ones as well.
        supported: u32,
    },
    /// Files of the store are gone. Nothing has been changed.
    #[error(
        "the store in {} lacks {}: put back what is gone, or have it repaired (`repair`, or \
         `jetwash-server --repair`), which keeps what can be read and tells what is lost",
        path.display(), Files(files)
    )]
    Missing {
        /// The folder.
        path: PathBuf,
        /// The files, as named in the folder. There may be others beside a list of files that is
        /// gone.
        files: Vec<PathBuf>,
    },
    /// Files of the storage engine are not as they were written. Nothing has been changed.
    #[error(
        "the store in {} has damage in {}: put back a copy, or have it repaired (`repair`, or \
         `jetwash-server --repair`), which keeps what can be read and tells what is lost",
        path.display(), Files(files)
    )]
    Damaged {
        /// The folder.
        path: PathBuf,
        /// The files, as named in the folder.
        files: Vec<PathBuf>,
    },
    /// Damage to something that every read depends on.
    #[error(
        "the store in {} is damaged: {what}; move the folder away and begin anew, from a relay \
         that still has the events, or put back a copy",
        path.display()
    )]
    Corrupt {
        /// The folder.
        path: PathBuf,
        /// The damaged part.
        what: String,
    },
    /// An option has a value out of its range.
    #[error("the option {option} cannot be {value}: {why}")]
    Option {
        /// The option's name.
        option: &'static str,
        /// Its value.
        value: u64,
        /// The reason that it cannot work.
        why: &'static str,
    },
    /// The storage engine failed.
    #[error("cannot open the store in {}: {source}", path.display())]
    Storage {
        /// The folder.
        path: PathBuf,
        /// The engine's error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Shows the first few names, and the number of the others.
impl OpenError {
    /// The same of another folder: that of which the one that could not be opened is a copy.
    pub(crate) fn in_folder(mut self, folder: &Path) -> Self {
        match &mut self {
            Self::Folder { path, .. }
            | Self::InUse { path }
            | Self::Format { path, .. }
            | Self::Missing { path, .. }
            | Self::Damaged { path, .. }
            | Self::Corrupt { path, .. }
            | Self::Storage { path, .. } => folder.clone_into(path),
            Self::Option { .. } => {}
        }
        self
    }
}

pub(crate) struct Files<'a>(pub(crate) &'a [PathBuf]);

impl fmt::Display for Files<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, file) in self.0.iter().take(NAMED).enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(formatter, "{comma}{}", file.display())?;
        }
        match self.0.len().saturating_sub(NAMED) {
            0 => Ok(()),
            more => write!(formatter, " and {more} more files"),
        }
    }
}

const NAMED: usize = 8;

/// Why a ring could not be read or written.
///
/// # Examples
///
/// ```
/// use jetwash_store::{Seq, StoreError};
///
/// /// Where a reader continues after an error.
/// fn next(error: StoreError) -> Result<Seq, StoreError> {
///     match error {
///         StoreError::Corrupt { next_seq, .. } => Ok(next_seq),
///         other => Err(other),
///     }
/// }
/// let error = StoreError::Corrupt { first_seq: Seq::FIRST, next_seq: Seq::new(513), what: "a checksum fails" };
/// assert_eq!(error.to_string(), "events 1 to 512 are damaged: a checksum fails");
/// assert_eq!(next(error)?, Seq::new(513));
/// # Ok::<(), StoreError>(())
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The storage engine failed, as a rule because the disk did: it is full, or cannot be read. A
    /// failed read can be tried again; after a failed write,
    /// [`Appender::reopen`](crate::Appender::reopen) comes first.
    #[error("cannot {action}: {source}")]
    Storage {
        /// The action that failed.
        action: &'static str,
        /// The engine's error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The events `first_seq..next_seq` of a block are damaged on disk. Those before and after can
    /// still be read: a reader continues at `next_seq`.
    #[error("events {first_seq} to {} are damaged: {what}", next_seq.previous())]
    Corrupt {
        /// The first event that is lost.
        first_seq: Seq,
        /// The first event after the damage.
        next_seq: Seq,
        /// The kind of damage.
        what: &'static str,
    },
    /// Another dictionary of the same number is in use: events in the ring were compressed with it.
    #[error("the ring has another dictionary of the number {id}; give the new one its own")]
    OtherDictionary {
        /// The number.
        id: u32,
    },
}

impl StoreError {
    pub(crate) fn storage(action: &'static str) -> impl FnOnce(BackendError) -> Self {
        move |source| Self::Storage { action, source }
    }
}
