//! What a spool tells of itself.

use std::io;
use std::time::Duration;

use jetwash::{Cursor, ReadError};
use metrics::{counter, gauge};
use thiserror::Error;

use crate::folder::FolderError;
use crate::manifest::Manifest;

/// How a spool is doing, as of its last file, gap or failure.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpoolStatus {
    /// What it is doing.
    pub state: SpoolState,
    /// Where the log is dealt with up to: what is there is in a complete file, or was not wanted.
    pub cursor: Cursor,
    /// How many files have been completed since the spool was first made, also by earlier runs.
    pub files: u64,
    /// How many events are in them.
    pub events: u64,
    /// How many bytes they had.
    pub bytes: u64,
    /// How often the log could not give some events.
    pub gaps: u64,
    /// How many events of the log these were, whether the filter would have matched them or not.
    pub gap_events: u64,
}

/// What a spool is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpoolState {
    /// It has not been run.
    #[default]
    Idle,
    /// It follows the log.
    Writing,
    /// It stands still at its cursor, and will try again. Nothing is lost as long as the log
    /// holds what comes after the cursor.
    Waiting {
        /// What kind of trouble it is.
        reason: WaitReason,
        /// What is wrong, in words.
        message: String,
        /// How long until the next attempt.
        retry_in: Duration,
    },
    /// It has come to its end.
    Stopped,
}

/// Why a spool stands still.
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
    /// The files that nobody has loaded are as many bytes as
    /// [`FileSpoolBuilder::max_bytes`](crate::FileSpoolBuilder::max_bytes) allows.
    SpoolFull,
}

impl WaitReason {
    /// A short name, as the metrics have it.
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

/// What keeps a spool from going on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Trouble {
    /// The folder cannot be written to.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The log cannot be read.
    #[error("the log cannot be read: {0}")]
    Log(#[from] ReadError),
    /// There are as many bytes as are allowed.
    #[error("{bytes} bytes wait to be loaded, and {most} are allowed")]
    SpoolFull {
        /// The bytes of the files.
        bytes: u64,
        /// The setting.
        most: u64,
    },
}

impl Trouble {
    /// What kind of trouble it is.
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
            cursor: Cursor::new(manifest.cursor),
            files,
            events,
            bytes,
            gaps,
            gap_events,
        }
    }
}

/// Tells the `metrics` facade of a completed file.
pub(crate) fn count_file(events: u64, bytes: u64, cursor: u64) {
    counter!("jetwash_spool_files_total").increment(1);
    counter!("jetwash_spool_events_total").increment(events);
    counter!("jetwash_spool_bytes_total").increment(bytes);
    gauge!("jetwash_spool_cursor").set(cursor as f64);
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
