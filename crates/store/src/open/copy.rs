use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::recover::{How, recover};
use crate::append::Appender;
use crate::backend::{self, DiskBackend, FaultyFile, state};
use crate::error::OpenError;
use crate::options::Options;
use crate::read::Store;

/// A copy of a ring as it was at one moment, to look into.
///
/// It is made beside a program that has the ring open, or of one that is closed, and nothing in the
/// ring's folder is changed. Files with events are not copied but linked. If the copy is on the same file
/// system as the ring, they stay until it is dropped; otherwise what the program trims meanwhile is
/// missing in the copy. The copy is removed when this is dropped; what a process that is killed
/// leaves is a folder whose name begins with `jetwash-copy-`.
///
/// # Examples
///
/// ```
/// use jetwash_store::{Location, Options, StoreCopy, open};
///
/// let folder = tempfile::tempdir()?;
/// let ring = folder.path().join("log");
/// let (appender, store) = open(Location::Disk(ring.clone()), Options::default())?;
/// let copy = StoreCopy::open(&ring, folder.path())?;
/// assert_eq!(copy.store().log_id(), store.log_id());
/// assert!(copy.check(|_bytes| {})?.is_empty());
/// # drop(appender);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct StoreCopy {
    // In this order: the folder is removed once nothing has its files open.
    appender: Appender,
    store: Store,
    folder: TempDir,
    format: u32,
}

impl StoreCopy {
    /// Copies the ring in the folder `path` to a new folder in `work`, and opens it there.
    ///
    /// # Errors
    ///
    /// When the folder holds no ring, or one that cannot be opened, when a file cannot be copied, or
    /// when so much is written to the ring that no copy is of one moment.
    pub fn open(path: &Path, work: &Path) -> Result<Self, OpenError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| OpenError::Folder { path, source }
        };
        if !path.join(backend::VERSION).try_exists().map_err(at(path))? {
            let missing = io::Error::new(io::ErrorKind::NotFound, "there is no event log in it");
            return Err(at(path)(missing));
        }
        let folder = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir_in(work)
            .map_err(at(work))?;
        backend::copy(path, folder.path()).map_err(at(path))?;
        // Frames that are kept stay, however many.
        let options = Options::default().keep_frames(u64::MAX);
        let opened = DiskBackend::open(folder.path(), &options);
        let opened = opened.and_then(|opened| {
            let version = opened.state.iter().find(|(key, _)| key == state::VERSION);
            let format =
                version.and_then(|(_, value)| Some(u32::from_le_bytes(*value.first_chunk()?)));
            let sides = recover(opened, folder.path().to_owned(), options, How::AsItIs)?;
            Ok((sides, format.unwrap_or_default()))
        });
        let ((appender, store), format) = opened
            .map_err(|error| backend::diagnose(folder.path(), error))
            .map_err(|error| error.in_folder(path))?;
        Ok(Self {
            appender,
            store,
            folder,
            format,
        })
    }

    /// Returns the side that reads.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// Returns the version of the format that the ring is written in, 0 if nothing was written yet.
    #[must_use]
    pub const fn format(&self) -> u32 {
        self.format
    }

    /// Returns how far each upstream has been read, in the order of their names.
    pub fn cursors(&self) -> impl Iterator<Item = (&str, u64)> {
        self.appender.cursors()
    }

    /// Returns the bytes of the files with events.
    ///
    /// # Errors
    ///
    /// When the copy cannot be read.
    pub fn file_bytes(&self) -> io::Result<u64> {
        file_bytes(self.folder.path())
    }

    /// Reads all files, compares their checksums, and returns those that are missing or damaged.
    /// `progress` is told of the bytes that have been read.
    ///
    /// # Errors
    ///
    /// When a file cannot be read.
    pub fn check(&self, mut progress: impl FnMut(u64)) -> io::Result<Vec<FaultyFile>> {
        backend::check_values(self.folder.path(), &mut progress)
    }
}

fn file_bytes(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    let mut folders: Vec<PathBuf> = vec![folder.join(backend::KEYSPACES)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            match entry.file_type()?.is_dir() {
                true => folders.push(entry.path()),
                // Of the file itself, where the entry is a link.
                false => bytes += fs::metadata(entry.path())?.len(),
            }
        }
    }
    Ok(bytes)
}

const PREFIX: &str = "jetwash-copy-";
