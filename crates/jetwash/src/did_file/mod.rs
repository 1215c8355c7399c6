//! Sets of accounts from files.

mod error;
mod read;
mod watch;

use std::fs::{self, File, Metadata};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use jetwash_event::{DidChange, DidSet};
use tokio::sync::watch as channel;

pub use error::DidFileError;

/// A file that a [`DidSet`] is loaded from, and saved to.
///
/// It has one DID a line. Blank lines, and what follows a `#`, are passed over. It may be
/// compressed, with gzip or zstd, which is told by its first bytes, whatever its name.
///
/// Loading puts what the file lists in place of all that was in the set, at one moment; a file with
/// anything wrong in it changes nothing. [`watch`](Self::watch) does so whenever the file changes.
///
/// A clone is the same file. Needs the feature `did-file`.
///
/// # Examples
///
/// ```
/// use jetwash::{DidFile, DidSet};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("danes.txt");
/// std::fs::write(&path, "# Danes\ndid:plc:ewvi7nxzyoun6zhxrhs64oiz\n\ndid:web:a.example # Anne\n")?;
/// let set = DidSet::new();
/// let file = DidFile::new(&path, set.clone());
/// assert_eq!(file.load()?.count(), 2);
/// assert!(set.contains("did:web:a.example"));
///
/// std::fs::write(&path, "did:web:b.example\nalice\n")?;
/// let error = file.load().unwrap_err().to_string();
/// assert!(error.ends_with("danes.txt:2: `alice` is not a DID: does not start with `did:`"));
/// assert!(set.contains("did:web:a.example"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct DidFile {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    set: DidSet,
    status: channel::Sender<DidFileStatus>,
    /// The file as it was last loaded or saved; `None` before. Locked while it is.
    at_hand: Mutex<Option<Option<Fingerprint>>>,
}

/// How a [`DidFile`] is doing.
///
/// # Examples
///
/// ```
/// use jetwash::{DidFile, DidSet};
///
/// let file = DidFile::new("not-there.txt", DidSet::new());
/// let status = file.status();
/// assert!(file.load().is_err());
/// assert_eq!(status.borrow().loads, 0);
/// assert!(status.borrow().error.is_some());
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct DidFileStatus {
    /// How often it has been loaded.
    pub loads: u64,
    /// The change made by the last successful load.
    pub last_change: Option<DidChange>,
    /// Why the last load failed; `None` if it went well. The set is then what it was before.
    pub error: Option<Arc<DidFileError>>,
}

impl DidFile {
    /// A file and the set that goes with it. Nothing is read yet.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, set: DidSet) -> Self {
        let shared = Shared {
            path: path.into(),
            set,
            status: channel::Sender::default(),
            at_hand: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// The set.
    #[must_use]
    pub fn set(&self) -> &DidSet {
        &self.shared.set
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// How it is doing, and a way to wait for news of that.
    #[must_use]
    pub fn status(&self) -> channel::Receiver<DidFileStatus> {
        self.shared.status.subscribe()
    }

    /// Puts what the file lists in place of all that is in the set.
    ///
    /// It reads the file, so it is not for an asynchronous task.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or has a line that is wrong: the error says which. The set
    /// then stays as it was.
    pub fn load(&self) -> Result<DidChange, Arc<DidFileError>> {
        let Shared {
            path, set, status, ..
        } = &*self.shared;
        let mut at_hand = self.lock();
        // What changes from here on is for the next load.
        *at_hand = Some(Fingerprint::of(path));
        let loaded = read::replace(path, set).map_err(Arc::new);
        status.send_modify(|status| {
            status.error = loaded.as_ref().err().map(Arc::clone);
            if let Ok(change) = loaded {
                status.loads += 1;
                status.last_change = Some(change);
            }
        });
        loaded
    }

    /// Writes the accounts in the set into the file, plain and in order, so that it is always
    /// there as a whole: it is written beside the old one, synced, and put in its place.
    ///
    /// Comments in the old file are lost. [`watch`](Self::watch) knows the file for its own.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn save(&self) -> Result<(), DidFileError> {
        let path = &self.shared.path;
        let mut at_hand = self.lock();
        let saved = self.write_beside().and_then(|(beside, fingerprint)| {
            fs::rename(&beside, path)?;
            sync_folder(path)?;
            Ok(fingerprint)
        });
        match saved {
            Ok(fingerprint) => {
                *at_hand = Some(Some(fingerprint));
                Ok(())
            }
            Err(source) => Err(DidFileError::Save {
                path: path.clone(),
                source,
            }),
        }
    }

    fn write_beside(&self) -> io::Result<(PathBuf, Fingerprint)> {
        let mut name = self.shared.path.file_name().unwrap_or_default().to_owned();
        name.push(".new");
        let beside = self.shared.path.with_file_name(name);
        let mut dids: Vec<_> = self.shared.set.iter().collect();
        dids.sort_unstable();
        let mut file = BufWriter::new(File::create(&beside)?);
        for did in dids {
            file.write_all(did.as_str().as_bytes())?;
            file.write_all(b"\n")?;
        }
        let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        Ok((beside, Fingerprint::new(&file.metadata()?)))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Option<Fingerprint>>> {
        self.shared
            .at_hand
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Distinguishes a file from the one that was in its place before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fingerprint {
    modified: Option<SystemTime>,
    length: u64,
    number: u64,
}

impl Fingerprint {
    fn of(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().as_ref().map(Self::new)
    }

    fn new(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        let number = std::os::unix::fs::MetadataExt::ino(metadata);
        #[cfg(not(unix))]
        let number = 0;
        Self {
            modified: metadata.modified().ok(),
            length: metadata.len(),
            number,
        }
    }
}

/// Makes sure that the file is under its new name after a power failure too.
fn sync_folder(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()?;
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}
