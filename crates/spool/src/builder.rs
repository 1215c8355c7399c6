use std::path::PathBuf;
use std::time::Duration;

use jetwash::{Filter, StartFrom};

use crate::folder::Folder;
use crate::part::Compression;
use crate::settings::{Settings, SpoolBuildError};
use crate::spool::FileSpool;

/// Settings of a [`FileSpool`].
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use jetwash::Filter;
/// use jetwash_spool::{Compression, FileSpool};
///
/// # let parent = tempfile::tempdir()?;
/// # let folder = parent.path().join("posts");
/// let spool = FileSpool::builder(folder)
///     .filter(Filter::new().collections(["app.bsky.feed.post"])?)
///     .roll_bytes(64 << 20)
///     .roll_after(Duration::from_secs(60))
///     .compression(Compression::Zstd(3))
///     .build()?;
/// assert_eq!(spool.status().borrow().files, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing happens before `build`"]
pub struct FileSpoolBuilder {
    folder: PathBuf,
    settings: Settings,
    must_exist: bool,
}

impl FileSpoolBuilder {
    fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            settings: Settings::default(),
            must_exist: false,
        }
    }

    /// Writes only the events that match. Defaults to all.
    ///
    /// A filter by collections lets changes of accounts and identities pass, so they are lines
    /// too, in order with the rest. A loader needs the events on accounts, or it would keep content
    /// that was deleted or taken down: leave [`Kind::Account`](jetwash::Kind::Account) among
    /// the kinds here, and in the ingest filter if there is one.
    pub fn filter(mut self, filter: Filter) -> Self {
        self.settings.filter = filter;
        self
    }

    /// Sets where a spool that has never run starts. Defaults to the oldest event in the log. Later
    /// runs continue where the last one ended.
    pub const fn start(mut self, start: StartFrom) -> Self {
        self.settings.start = start;
        self
    }

    /// Completes a file at this size in bytes. Defaults to 64 MiB. Compressed files can grow some
    /// 100 KB beyond.
    pub const fn roll_bytes(mut self, bytes: u64) -> Self {
        self.settings.roll_bytes = bytes;
        self
    }

    /// Completes a file at this age, counted from its first event. Defaults to a minute. As much of
    /// the log is read again after a crash.
    pub const fn roll_after(mut self, age: Duration) -> Self {
        self.settings.roll_after = age;
        self
    }

    /// Compresses the files. Defaults to no compression.
    pub const fn compression(mut self, compression: Compression) -> Self {
        self.settings.compression = compression;
        self
    }

    /// Begins no file while the files in the folder have this many bytes or more: the spool stands
    /// still until a loader has removed some. Defaults to no limit.
    pub const fn max_bytes(mut self, bytes: u64) -> Self {
        self.settings.max_bytes = Some(bytes);
        self
    }

    /// Sets the wait after a failure, and the longest wait after several. Defaults to 1 s and 60 s.
    pub const fn retry(mut self, first: Duration, longest: Duration) -> Self {
        self.settings.first_retry = first;
        self.settings.longest_retry = longest;
        self
    }

    /// Makes it an error that the folder has no spool yet, for folders on a disk that may not be
    /// mounted. Otherwise a missing folder is created, and the spool starts from scratch.
    pub const fn must_exist(mut self) -> Self {
        self.must_exist = true;
        self
    }

    /// Opens the folder, takes its lock, and brings it into order after a crash. Nothing is
    /// spawned.
    ///
    /// # Errors
    ///
    /// When a setting makes no sense, or the folder cannot be opened: another spool has it, its
    /// manifest is damaged, or the operating system refuses.
    pub fn build(self) -> Result<FileSpool, SpoolBuildError> {
        let Self {
            folder: path,
            settings,
            must_exist,
        } = self;
        settings.check()?;
        let folder = if must_exist {
            Folder::open(&path, None)?
        } else {
            Folder::create(&path)?
        };
        Ok(FileSpool::new(path, folder, settings))
    }
}

impl FileSpool {
    /// Returns a builder for a spool in `folder`.
    pub fn builder(folder: impl Into<PathBuf>) -> FileSpoolBuilder {
        FileSpoolBuilder::new(folder.into())
    }
}
