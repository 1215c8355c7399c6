use std::time::Duration;

use jetwash::{Filter, StartFrom};
use thiserror::Error;

use crate::folder::FolderError;
use crate::part::Compression;

/// Settings of a spool. The builder's methods say what they mean.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) filter: Filter,
    pub(crate) start: StartFrom,
    pub(crate) roll_bytes: u64,
    pub(crate) roll_after: Duration,
    pub(crate) compression: Compression,
    pub(crate) max_bytes: Option<u64>,
    pub(crate) first_retry: Duration,
    pub(crate) longest_retry: Duration,
}

impl Settings {
    /// Checks what the types do not say.
    pub(crate) fn check(&self) -> Result<(), SpoolBuildError> {
        if self.roll_bytes == 0 {
            return Err(SpoolBuildError::ZeroBytes);
        }
        if self.roll_after.is_zero() {
            return Err(SpoolBuildError::ZeroAge);
        }
        if self.first_retry.is_zero() || self.longest_retry < self.first_retry {
            return Err(SpoolBuildError::Retry {
                first: self.first_retry,
                longest: self.longest_retry,
            });
        }
        match self.compression {
            Compression::Zstd(level) if !(1..=19).contains(&level) => {
                Err(SpoolBuildError::Level { level })
            }
            _ => Ok(()),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            filter: Filter::new(),
            start: StartFrom::Oldest,
            roll_bytes: 64 << 20,
            roll_after: Duration::from_secs(60),
            compression: Compression::None,
            max_bytes: None,
            first_retry: Duration::from_secs(1),
            longest_retry: Duration::from_secs(60),
        }
    }
}

/// Why a spool cannot be built.
///
/// # Examples
///
/// ```
/// use jetwash_spool::{FileSpool, SpoolBuildError};
///
/// let error = FileSpool::builder("posts").roll_bytes(0).build().unwrap_err();
/// assert!(matches!(error, SpoolBuildError::ZeroBytes));
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SpoolBuildError {
    /// The folder cannot be opened.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A level that zstd does not have.
    #[error("zstd level {level}: it must be between 1 and 19")]
    Level {
        /// The setting.
        level: i32,
    },
    /// Retries would come without a pause, or their pause would shrink.
    #[error(
        "retry after {first:?}, at most {longest:?}: the first must be more than 0, and no longer than the longest"
    )]
    Retry {
        /// The setting.
        first: Duration,
        /// The setting.
        longest: Duration,
    },
    /// Files would be completed at once.
    #[error("files of no time at all: roll after more than 0 s")]
    ZeroAge,
    /// Files would hold nothing.
    #[error("files of no bytes at all: roll after at least 1 byte")]
    ZeroBytes,
}
