//! The status of a spool.

use std::io;
use std::time::Duration;

use jetwash::{Cursor, ReadError};
use metrics::{counter, gauge};
use thiserror::Error;

use crate::folder::FolderError;
use crate::manifest::Manifest;

/// How a spool is doing, as of its last file, gap or failure.
///
/// # Examples
///
/// ```
/// use jetwash_spool::{FileSpool, SpoolState};
///
/// # let parent = tempfile::tempdir()?;
/// # let folder = parent.path().join("posts");
/// let spool = FileSpool::builder(folder).build()?;
/// let status = spool.status().borrow().clone();
/// assert_eq!((status.state, status.events), (SpoolState::Idle, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpoolStatus {
    /// Its state.
    pub state: SpoolState,
    /// The last position whose event is in a complete file or was not wanted.
    pub cursor: Cursor,
    /// How many files have been completed since the spool was first made, also by earlier runs.
    pub files: u64,
    /// How many events are in them.
    pub events: u64,
    /// How many bytes they had.
    pub bytes: u64,
    /// How often the log no longer had some events.
    pub gaps: u64,
    /// How many events of the log these were, whether the filter would have matched them or not.
    pub gap_events: u64,
}

/// The state of a spool.
///
/// # Examples
///
/// ```
/// use jetwash_spool::SpoolState;
///
/// fn describe(state: &SpoolState) -> String {
///     match state {
///         SpoolState::Waiting { message, retry_in, .. } => format!("{message}; again in {retry_in:?}"),
///         other => format!("{other:?}"),
///     }
/// }
/// assert_eq!(describe(&SpoolState::Writing), "Writing");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpoolState {
    /// It has not been run.
    #[default]
    Idle,
    /// It follows the log.
    Writing,
    /// It stands still at its cursor and will try again. Nothing is lost as long as the log
    /// holds the events after the cursor.
    Waiting {
        /// The kind of trouble.
        reason: WaitReason,
        /// The trouble in words.
        message: String,
        /// How long until the next attempt.
        retry_in: Duration,
    },
    /// It has come to its end.
    Stopped,
}

/// Why a spool stands still.
///
/// # Examples
///
/// ```
/// use jetwash_spool::WaitReason;
///
/// assert_eq!(WaitReason::DiskFull.as_str(), "disk_full");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WaitReason {
    /// The disk is full.
    DiskFull,
    /// The folder is gone, or there is another in its place.
    FolderGone,
    /// The operating system refused something else.
    Io,
    /// Another spool has taken the folder over.
    Locked,
    /// The log cannot be read.
    Log,
    /// The files that no loader has removed have reached
    /// [`FileSpoolBuilder::max_bytes`](crate::FileSpoolBuilder::max_bytes).
    SpoolFull,
}

impl WaitReason {
    /// A short name, as in the metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DiskFull => "disk_full",
            Self::FolderGone => "folder_gone",
            Self::Io => "io",
            Self::Locked => "locked",
            Self::Log => "log",
            Self::SpoolFull => "spool_full",
        }
    }
}

/// The trouble that keeps a spool from going on.
///
/// # Examples
///
/// ```
/// use jetwash_spool::{Trouble, WaitReason};
///
/// let trouble = Trouble::SpoolFull { bytes: 2000, most: 1000 };
/// assert_eq!(trouble.reason(), WaitReason::SpoolFull);
/// assert_eq!(trouble.to_string(), "2000 bytes wait to be loaded, and 1000 are allowed");
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Trouble {
    /// The folder cannot be written to.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The log cannot be read.
    #[error("the log cannot be read: {0}")]
    Log(#[from] ReadError),
    /// The files have reached the limit in bytes.
    #[error("{bytes} bytes wait to be loaded, and {most} are allowed")]
    SpoolFull {
        /// The bytes of the files.
        bytes: u64,
        /// The setting.
        most: u64,
    },
}

impl Trouble {
    /// The kind of trouble.
    #[must_use]
    pub fn reason(&self) -> WaitReason {
        match self {
            Self::Folder(FolderError::Another { .. } | FolderError::Gone { .. }) => {
                WaitReason::FolderGone
            }
            Self::Folder(FolderError::Locked { .. }) => WaitReason::Locked,
            Self::Folder(FolderError::Io { error, .. }) => match error.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => WaitReason::DiskFull,
                io::ErrorKind::NotFound => WaitReason::FolderGone,
                _ => WaitReason::Io,
            },
            Self::Folder(FolderError::Manifest(_)) => WaitReason::Io,
            Self::Log(_) => WaitReason::Log,
            Self::SpoolFull { .. } => WaitReason::SpoolFull,
        }
    }
}

impl SpoolStatus {
    pub(crate) fn new(manifest: &Manifest, state: SpoolState) -> Self {
        let (files, events, bytes) = manifest.totals();
        let (gaps, gap_events) = manifest.gap_totals();
        Self {
            state,
            cursor: manifest.cursor,
            files,
            events,
            bytes,
            gaps,
            gap_events,
        }
    }
}

/// Tells the `metrics` facade of a completed file.
pub(crate) fn count_file(events: u64, bytes: u64, cursor: Cursor) {
    counter!("jetwash_spool_files_total").increment(1);
    counter!("jetwash_spool_events_total").increment(events);
    counter!("jetwash_spool_bytes_total").increment(bytes);
    gauge!("jetwash_spool_cursor").set(cursor.get() as f64);
}

pub(crate) fn count_gap(events: u64, reason: &str) {
    let reason = if reason == LOST { LOST } else { DAMAGED };
    counter!("jetwash_spool_gap_events_total", "reason" => reason).increment(events);
}

pub(crate) fn count_trouble(reason: WaitReason) {
    counter!("jetwash_spool_failures_total", "reason" => reason.as_str()).increment(1);
    set_waiting(true);
}

pub(crate) fn set_waiting(is_waiting: bool) {
    gauge!("jetwash_spool_waiting").set(f64::from(u8::from(is_waiting)));
}

/// The reason of a gap that the log had moved past.
pub(crate) const LOST: &str = "lost";
/// The reason of a gap where the log was damaged.
pub(crate) const DAMAGED: &str = "damaged";
