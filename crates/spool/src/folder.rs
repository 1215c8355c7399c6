//! The folder of a spool, as its one writer sees it.

use jetwash::{Cursor, Micros, Seq};
use std::collections::hash_map::RandomState;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use thiserror::Error;

use crate::manifest::{
    self, Entry, FileEntry, Manifest, ManifestError, Progress, Rewound, SpoolGap,
};
use crate::part::{Compression, Part};

/// A locked folder: nobody else writes to it until this is dropped.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    manifest: Manifest,
    log: File,
    /// The number of lines that rewriting the manifest would save.
    spare: usize,
    _lock: File,
}

impl Folder {
    /// Opens a folder that has a manifest, or makes the folder and the manifest.
    pub(crate) fn create(path: &Path) -> Result<Self, FolderError> {
        if let Err(error) = fs::create_dir(path)
            && error.kind() != io::ErrorKind::AlreadyExists
        {
            return Err(FolderError::io("make the folder", path)(error));
        }
        let lock = lock(path)?;
        if !is_there(&path.join(manifest::NAME))? {
            let id = format!("{:016x}", RandomState::new().build_hasher().finish());
            rewrite(path, &Manifest::new(id))?;
        }
        Self::recover(path, lock)
    }

    /// Opens a folder that has a manifest, which has to be that of the spool `id`.
    pub(crate) fn open(path: &Path, id: Option<&str>) -> Result<Self, FolderError> {
        if !is_there(&path.join(manifest::NAME))? {
            return Err(FolderError::Gone {
                path: path.display().to_string(),
            });
        }
        let folder = Self::recover(path, lock(path)?)?;
        match id {
            Some(id) if id != folder.id() => Err(FolderError::Another {
                path: path.display().to_string(),
            }),
            _ => Ok(folder),
        }
    }

    pub(crate) fn id(&self) -> &str {
        &self.manifest.header.id
    }

    pub(crate) const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The bytes of the files that are there.
    pub(crate) fn bytes(&self) -> Result<u64, FolderError> {
        let removed = read_removed(&self.path)?;
        let files = self.manifest.files().rev();
        Ok(files
            .take_while(|file| file.number > removed)
            .map(|file| file.bytes)
            .sum())
    }

    /// Begins the next file.
    pub(crate) fn begin(&self, compression: Compression) -> Result<Part, FolderError> {
        let number = self.manifest.last_number() + 1;
        let name = format!("{number:020}.{}", compression.extension());
        let path = self.path.join(name + PART);
        let part = Part::create(path.clone(), compression)
            .map_err(FolderError::io("make the file", &path))?;
        // Otherwise a power failure could take the name although the manifest has the file.
        sync_folder(&self.path)?;
        Ok(part)
    }

    /// Makes a file visible that covers the log up to a position.
    ///
    /// The manifest comes before the name: a file that has its final name is one that loaders will
    /// be told of, under this number and no other, whatever happens in between.
    pub(crate) fn finish(
        &mut self,
        part: Part,
        covered: Cursor,
        last_time_us: Micros,
    ) -> Result<&FileEntry, FolderError> {
        // A crash between any two steps is repaired by `recover`: before the entry, the part is
        // thrown away; after it, the part gets its name.
        let (path, events) = (part.path().to_owned(), part.events);
        let (bytes, crc) = part.complete().map_err(|error| {
            drop(fs::remove_file(&path));
            FolderError::io("complete the file", &path)(error)
        })?;
        let final_path = path.with_extension("");
        debug_assert!(final_path.file_name().is_some(), "a part without a name");
        let name = final_path.file_name().unwrap_or_default();
        let file = FileEntry {
            number: self.manifest.last_number() + 1,
            name: name.to_string_lossy().into_owned(),
            first: self.manifest.cursor.next(),
            last: covered.next().previous(),
            last_time_us,
            events,
            bytes,
            crc32: format!("{crc:08x}"),
            completed_us: SystemTime::now().into(),
        };
        self.append(Entry::File(file))?;
        fs::rename(&path, &final_path).map_err(FolderError::io("name the file", &path))?;
        sync_folder(&self.path)?;
        self.shorten()?;
        let file = self.manifest.files().next_back();
        file.ok_or_else(|| FolderError::Gone {
            path: self.path.display().to_string(),
        })
    }

    /// Notes that there was nothing to write up to a position.
    pub(crate) fn progress(&mut self, cursor: Cursor, time_us: Micros) -> Result<(), FolderError> {
        self.spare += 1;
        self.append(Entry::Progress(Progress { cursor, time_us }))?;
        self.shorten()
    }

    /// Notes that the events up to a position are missing.
    pub(crate) fn gap(&mut self, last: Seq, reason: &str) -> Result<SpoolGap, FolderError> {
        let gap = SpoolGap {
            first: self.manifest.cursor.next(),
            last,
            reason: reason.to_owned(),
        };
        self.append(Entry::Gap(gap.clone()))?;
        Ok(gap)
    }

    /// Notes that the log went back, to after a position.
    pub(crate) fn rewind(&mut self, cursor: Cursor) -> Result<(), FolderError> {
        self.spare += 1;
        self.append(Entry::Rewound(Rewound { cursor }))
    }

    fn append(&mut self, entry: Entry) -> Result<(), FolderError> {
        let path = self.path.join(manifest::NAME);
        let line = manifest::encode(&entry).map_err(|error| {
            FolderError::io("write the manifest", &path)(io::Error::other(error))
        })?;
        self.log
            .write_all(&line)
            .and_then(|()| self.log.sync_data())
            .map_err(FolderError::io("write the manifest", &path))?;
        self.manifest.push(entry);
        Ok(())
    }

    /// Writes the manifest anew when much of it is no longer needed.
    fn shorten(&mut self) -> Result<(), FolderError> {
        let removed = read_removed(&self.path)?;
        let files = self.manifest.files();
        let spare = files.take_while(|file| file.number <= removed).count();
        if self.spare + spare < SPARE {
            return Ok(());
        }
        self.manifest.forget_through(removed);
        rewrite(&self.path, &self.manifest)?;
        self.log = open_log(&self.path)?;
        self.spare = 0;
        Ok(())
    }

    /// Brings a folder into order after its last writer, which may have crashed.
    ///
    /// The manifest is written anew each time: that a line can be read does not mean that it was
    /// synced.
    fn recover(path: &Path, lock: File) -> Result<Self, FolderError> {
        let manifest_path = path.join(manifest::NAME);
        let text = fs::read(&manifest_path)
            .map_err(FolderError::io("read the manifest", &manifest_path))?;
        let mut manifest = Manifest::parse(&text, &manifest_path)?;
        name_last(path, &mut manifest)?;
        remove_parts(path)?;
        manifest.forget_through(read_removed(path)?);
        rewrite(path, &manifest)?;
        Ok(Self {
            path: path.to_owned(),
            log: open_log(path)?,
            manifest,
            spare: 0,
            _lock: lock,
        })
    }
}

/// Why a folder cannot be written to.
///
/// # Examples
///
/// ```
/// use jetwash_spool::{FileSpool, FolderError, SpoolBuildError};
///
/// # let parent = tempfile::tempdir()?;
/// # let folder = parent.path().join("posts");
/// // The disk is not mounted, so the folder is not there.
/// let error = FileSpool::builder(folder).must_exist().build().unwrap_err();
/// assert!(matches!(error, SpoolBuildError::Folder(FolderError::Gone { .. })));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FolderError {
    /// There is a manifest, but it is that of another spool.
    #[error("{path}: the manifest there is that of another spool")]
    Another {
        /// The folder.
        path: String,
    },
    /// The folder is not there, or has no manifest: perhaps its disk is not mounted.
    #[error("{path}: there is no spool: no folder with a manifest. Is its disk mounted?")]
    Gone {
        /// The folder.
        path: String,
    },
    /// The operating system refused something.
    #[error("{path}: cannot {doing}: {error}")]
    Io {
        /// The step that failed.
        doing: &'static str,
        /// The file or folder.
        path: String,
        /// The system's error.
        error: io::Error,
    },
    /// Another spool is writing to it.
    #[error("{path}: another spool is writing there")]
    Locked {
        /// The folder.
        path: String,
    },
    /// The manifest is damaged.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

impl FolderError {
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.display().to_string();
        move |error| Self::Io { doing, path, error }
    }
}

/// Reads the number of the last file that loaders no longer need.
pub(crate) fn read_removed(folder: &Path) -> Result<u64, FolderError> {
    let path = folder.join(REMOVED);
    match fs::read_to_string(&path) {
        Ok(text) => text.trim().parse().map_err(|_| {
            let what = io::Error::new(io::ErrorKind::InvalidData, "it is not a number");
            FolderError::io("read what has been removed", &path)(what)
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(FolderError::io("read what has been removed", &path)(error)),
    }
}

/// Notes durably that loaders no longer need the files up to this number.
pub(crate) fn write_removed(folder: &Path, number: u64) -> Result<(), FolderError> {
    replace(folder, REMOVED, format!("{number}\n").as_bytes())
}

fn lock(folder: &Path) -> Result<File, FolderError> {
    let path = folder.join(LOCK);
    let lock = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .map_err(FolderError::io("open the lock", &path))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(FolderError::Locked {
            path: folder.display().to_string(),
        }),
        Err(TryLockError::Error(error)) => Err(FolderError::io("lock the folder", &path)(error)),
    }
}

/// Gives the last file its name if that is all that is missing. A file that differs from its
/// entry is withdrawn: it was never visible.
fn name_last(folder: &Path, manifest: &mut Manifest) -> Result<(), FolderError> {
    let Some(file) = manifest.files().next_back() else {
        return Ok(());
    };
    let final_path = folder.join(&file.name);
    let part = folder.join(file.name.clone() + PART);
    if is_there(&final_path)? || !is_there(&part)? {
        return Ok(());
    }
    let (bytes, crc) = measure(&part).map_err(FolderError::io("read the file", &part))?;
    if (bytes, format!("{crc:08x}")) == (file.bytes, file.crc32.clone()) {
        fs::rename(&part, &final_path).map_err(FolderError::io("name the file", &part))?;
        return sync_folder(folder);
    }
    manifest.withdraw_last_file();
    Ok(())
}

/// The length and checksum of a file.
pub(crate) fn measure(path: &Path) -> io::Result<(u64, u32)> {
    let mut file = File::open(path)?;
    let mut measure = Measure::default();
    io::copy(&mut file, &mut measure)?;
    Ok((measure.bytes, measure.crc.finalize()))
}

#[derive(Default)]
struct Measure {
    bytes: u64,
    crc: crc32fast::Hasher,
}

impl Write for Measure {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.crc.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn remove_parts(folder: &Path) -> Result<(), FolderError> {
    let list = fs::read_dir(folder).map_err(FolderError::io("list the folder", folder))?;
    for found in list {
        let path = found
            .map_err(FolderError::io("list the folder", folder))?
            .path();
        debug_assert!(path.file_name().is_some(), "an entry without a name");
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.ends_with(PART) && name.starts_with(|first: char| first.is_ascii_digit()) {
            fs::remove_file(&path).map_err(FolderError::io("remove the unfinished file", &path))?;
        }
    }
    Ok(())
}

fn rewrite(folder: &Path, manifest: &Manifest) -> Result<(), FolderError> {
    let path = folder.join(manifest::NAME);
    let text = manifest
        .encode()
        .map_err(|error| FolderError::io("write the manifest", &path)(io::Error::other(error)))?;
    replace(folder, manifest::NAME, &text)
}

fn open_log(folder: &Path) -> Result<File, FolderError> {
    let path = folder.join(manifest::NAME);
    OpenOptions::new()
        .append(true)
        .open(&path)
        .map_err(FolderError::io("open the manifest", &path))
}

/// Replaces a file by another one, or leaves it as it is.
fn replace(folder: &Path, name: &str, content: &[u8]) -> Result<(), FolderError> {
    let part = folder.join(name.to_owned() + PART);
    let write = || {
        let mut file = File::create(&part)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&part, folder.join(name))
    };
    write().map_err(FolderError::io("write the file", &part))?;
    sync_folder(folder)
}

fn sync_folder(folder: &Path) -> Result<(), FolderError> {
    // Elsewhere a folder cannot be opened, and names are durable without it.
    if cfg!(unix) {
        File::open(folder)
            .and_then(|handle| handle.sync_all())
            .map_err(FolderError::io("sync the folder", folder))?;
    }
    Ok(())
}

fn is_there(path: &Path) -> Result<bool, FolderError> {
    path.try_exists()
        .map_err(FolderError::io("look for the file", path))
}

const LOCK: &str = "lock";
const PART: &str = ".part";
const REMOVED: &str = "removed";
const SPARE: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_no_name_before_its_line_is_in_the_manifest() {
        let parent = tempfile::tempdir().unwrap();
        let mut folder = Folder::create(parent.path()).unwrap();
        let finish = |folder: &mut Folder| {
            let mut part = folder.begin(Compression::None).unwrap();
            part.line(b"{}").unwrap();
            let file = folder.finish(part, Cursor::new(7), Micros::EPOCH);
            file.map(|file| file.number)
        };
        // The line cannot be written.
        folder.log = File::open(parent.path().join(manifest::NAME)).unwrap();
        assert!(finish(&mut folder).is_err());
        let name = parent.path().join("00000000000000000001.ndjson");
        assert!(!name.exists());

        drop(folder);
        let mut folder = Folder::create(parent.path()).unwrap();
        assert_eq!(finish(&mut folder).unwrap(), 1);
        assert_eq!(fs::read(name).unwrap(), b"{}\n");
    }
}
