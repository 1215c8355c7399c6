use jetwash::{Cursor, Micros, Seq};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use thiserror::Error;

use crate::folder::{FolderError, measure, read_removed, write_removed};
use crate::manifest::{self, FileEntry, Manifest, ManifestError, SpoolGap};

/// The files of a spool, for a program that loads them somewhere.
///
/// It can be in another process than the spool, and needs not run when the spool does. To load
/// each file exactly once, a loader keeps the number of the last file it has loaded in the same
/// transaction as what was in it, and asks for the [files after](Self::files_after) that number.
///
/// Only one loader may [remove](Self::remove_through) files.
///
/// # Examples
///
/// ```no_run
/// use jetwash_spool::SpoolReader;
///
/// # fn load(line: &str) {}
/// # let mut loaded = 0; // from the database
/// let mut spool = SpoolReader::open("/var/lib/posts")?;
/// for file in spool.files_after(loaded)? {
///     for line in file.lines()? {
///         load(&line?);
///     }
///     loaded = file.number(); // in the same transaction
/// }
/// spool.remove_through(loaded)?;
/// # Ok::<(), jetwash_spool::SpoolReadError>(())
/// ```
#[derive(Debug)]
pub struct SpoolReader {
    folder: PathBuf,
    keep_loaded: Duration,
}

impl SpoolReader {
    /// Opens the folder of a spool to read.
    ///
    /// # Errors
    ///
    /// When there is no spool, or its manifest is damaged.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, SpoolReadError> {
        let reader = Self {
            folder: folder.into(),
            keep_loaded: Duration::ZERO,
        };
        reader.manifest()?;
        Ok(reader)
    }

    /// Lets [`remove_through`](Self::remove_through) leave files alone that were completed less
    /// than this ago; a later call takes them.
    #[must_use]
    pub const fn keep_loaded(mut self, age: Duration) -> Self {
        self.keep_loaded = age;
        self
    }

    /// The complete files with greater numbers than this one, in order; 0 gives all.
    ///
    /// # Errors
    ///
    /// When the manifest cannot be read, or files after this one have been removed already, so
    /// that going on would skip them.
    pub fn files_after(&self, number: u64) -> Result<Vec<SpoolFile>, SpoolReadError> {
        let manifest = self.manifest()?;
        let removed = read_removed(&self.folder)?.max(manifest.header.through);
        if number < removed && number > 0 {
            return Err(SpoolReadError::Removed { number, removed });
        }
        let mut files: Vec<SpoolFile> = manifest
            .files()
            .filter(|file| file.number > number && file.number > removed)
            .map(|file| self.file(file))
            .collect();
        // The last one may be in the manifest already but not have its name yet.
        files.pop_if(|last| !last.path.exists() && self.part_exists(last));
        Ok(files)
    }

    /// The places where the log no longer had the events, as far as the manifest still lists them:
    /// gaps before removed files are only counted.
    ///
    /// # Errors
    ///
    /// When the manifest cannot be read.
    pub fn gaps(&self) -> Result<Vec<SpoolGap>, SpoolReadError> {
        Ok(self.manifest()?.gaps().cloned().collect())
    }

    /// How many gaps there were in all, and how many events of the log are in them.
    ///
    /// # Errors
    ///
    /// When the manifest cannot be read.
    pub fn gap_totals(&self) -> Result<(u64, u64), SpoolReadError> {
        Ok(self.manifest()?.gap_totals())
    }

    /// The cursor up to which everything is in files, or was not wanted.
    ///
    /// # Errors
    ///
    /// When the manifest cannot be read.
    pub fn cursor(&self) -> Result<Cursor, SpoolReadError> {
        Ok(self.manifest()?.cursor)
    }

    /// Removes the files up to and including this number, which are loaded and no longer needed,
    /// and returns how many.
    ///
    /// Their number is noted durably before the first is removed.
    ///
    /// # Errors
    ///
    /// When it cannot be noted, or a file cannot be removed.
    pub fn remove_through(&mut self, number: u64) -> Result<usize, SpoolReadError> {
        let manifest = self.manifest()?;
        let latest = Micros::from(SystemTime::now()).minus(self.keep_loaded);
        let files: Vec<&FileEntry> = manifest
            .files()
            .take_while(|file| file.number <= number && file.completed_us <= latest)
            .collect();
        let Some(last) = files.last() else {
            return Ok(0);
        };
        if read_removed(&self.folder)? < last.number {
            write_removed(&self.folder, last.number)?;
        }
        let mut count = 0;
        for file in files {
            let path = self.folder.join(&file.name);
            match fs::remove_file(&path) {
                Ok(()) => count += 1,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(FolderError::io("remove the file", &path)(error).into()),
            }
        }
        Ok(count)
    }

    fn manifest(&self) -> Result<Manifest, SpoolReadError> {
        let path = self.folder.join(manifest::NAME);
        match fs::read(&path) {
            Ok(text) => Ok(Manifest::parse(&text, &path)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(FolderError::Gone {
                path: self.folder.display().to_string(),
            }
            .into()),
            Err(error) => Err(FolderError::io("read the manifest", &path)(error).into()),
        }
    }

    fn file(&self, entry: &FileEntry) -> SpoolFile {
        SpoolFile {
            path: self.folder.join(&entry.name),
            entry: entry.clone(),
        }
    }

    fn part_exists(&self, file: &SpoolFile) -> bool {
        self.folder.join(file.entry.name.clone() + ".part").exists()
    }
}

/// A complete file of a spool.
///
/// # Examples
///
/// ```
/// use jetwash_spool::{SpoolFile, SpoolReadError};
///
/// fn report(file: &SpoolFile) -> Result<(), SpoolReadError> {
///     file.verify()?;
///     println!("{}: {} events, {} bytes", file.number(), file.events(), file.bytes());
///     Ok(())
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolFile {
    path: PathBuf,
    entry: FileEntry,
}

impl SpoolFile {
    /// Its number: 1 for the first, and one more for each that follows.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.entry.number
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The positions of the log that it covers: from them, it has every event that the spool's
    /// filter matched.
    #[must_use]
    pub const fn seqs(&self) -> RangeInclusive<Seq> {
        self.entry.first..=self.entry.last
    }

    /// How many events it has, a line each.
    #[must_use]
    pub const fn events(&self) -> u64 {
        self.entry.events
    }

    /// Its length in bytes.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.entry.bytes
    }

    /// When it was completed.
    #[must_use]
    pub fn completed(&self) -> SystemTime {
        self.entry.completed_us.into()
    }

    /// Checks length and checksum.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or is not what the manifest says.
    pub fn verify(&self) -> Result<(), SpoolReadError> {
        let (bytes, crc) = measure(&self.path).map_err(|error| self.failed(error))?;
        if bytes != self.entry.bytes {
            return Err(self.damaged("its length is not what the manifest says"));
        }
        if format!("{crc:08x}") != self.entry.crc32 {
            return Err(self.damaged("its checksum is not what the manifest says"));
        }
        Ok(())
    }

    /// The events, as Jetstream's lines of JSON, in the order of the log. The file is
    /// [verified](Self::verify) first.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or is not what the manifest says.
    pub fn lines(&self) -> Result<Lines, SpoolReadError> {
        self.verify()?;
        let file = File::open(&self.path).map_err(|error| self.failed(error))?;
        let reader: Box<dyn Read + Send> = if self.entry.name.ends_with(".zst") {
            let decoder = zstd::stream::read::Decoder::new(file);
            Box::new(decoder.map_err(|error| self.failed(error))?)
        } else {
            Box::new(file)
        };
        Ok(Lines {
            reader: BufReader::with_capacity(1 << 16, reader),
            file: self.clone(),
            left: self.entry.events,
        })
    }

    fn failed(&self, error: io::Error) -> SpoolReadError {
        FolderError::io("read the file", &self.path)(error).into()
    }

    fn damaged(&self, what: &'static str) -> SpoolReadError {
        SpoolReadError::Damaged {
            path: self.path.display().to_string(),
            what,
        }
    }
}

/// The lines of a [`SpoolFile`], without their newlines.
///
/// # Examples
///
/// ```
/// use jetwash_spool::{Lines, SpoolReadError};
///
/// fn deletions(lines: Lines) -> Result<usize, SpoolReadError> {
///     let mut count = 0;
///     for line in lines {
///         count += usize::from(line?.contains(r#""operation":"delete""#));
///     }
///     Ok(count)
/// }
/// ```
pub struct Lines {
    reader: BufReader<Box<dyn Read + Send>>,
    file: SpoolFile,
    left: u64,
}

impl Iterator for Lines {
    type Item = Result<String, SpoolReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(_) if line.pop() == Some('\n') => Some(Ok(line)),
            Ok(_) => {
                self.left = 0;
                Some(Err(self
                    .file
                    .damaged("it has fewer lines than the manifest says")))
            }
            Err(error) => {
                self.left = 0;
                Some(Err(self.file.failed(error)))
            }
        }
    }
}

impl std::fmt::Debug for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lines")
            .field("file", &self.file.path)
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

/// Why the files of a spool cannot be read.
///
/// # Examples
///
/// ```
/// use jetwash_spool::{SpoolReadError, SpoolReader};
///
/// # let parent = tempfile::tempdir()?;
/// # let folder = parent.path().join("posts");
/// let error = SpoolReader::open(folder).unwrap_err();
/// assert!(matches!(error, SpoolReadError::Folder(_)));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SpoolReadError {
    /// A file is not what the manifest says.
    #[error("{path}: {what}")]
    Damaged {
        /// The file.
        path: String,
        /// The fault.
        what: &'static str,
    },
    /// The folder cannot be read or changed.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The manifest is damaged.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// Files that this loader has not loaded are gone.
    #[error(
        "the files after number {number} are asked for, but those up to {removed} have been removed"
    )]
    Removed {
        /// Where the loader is.
        number: u64,
        /// Up to where files have been removed.
        removed: u64,
    },
}
