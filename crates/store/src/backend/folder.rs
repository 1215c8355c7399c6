//! The folder of a ring: its lock, its names on the disk, and how much is in it.

use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::error::OpenError;

/// Makes the names in a folder survive a power failure.
pub(super) fn sync(path: &Path) -> io::Result<()> {
    // Elsewhere folders cannot be opened, and need not be synced.
    if cfg!(unix) {
        File::open(path)?.sync_all()?;
    }
    Ok(())
}

/// The number of the newest journal in a folder; `None` without a journal.
pub(super) fn newest_journal(path: &Path) -> io::Result<Option<u64>> {
    let mut newest = None;
    for entry in fs::read_dir(path)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".jnl"));
        newest = newest.max(number.and_then(|number| number.parse().ok()));
    }
    Ok(newest)
}

/// The bytes that the journals take on the disk: they are made with more than they hold.
pub(super) fn journal_bytes(path: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.path().extension() == Some(OsStr::new("jnl")) {
            bytes += match entry.metadata() {
                Ok(metadata) => disk_bytes(&metadata),
                Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
                Err(error) => return Err(error),
            };
        }
    }
    Ok(bytes)
}

#[cfg(unix)]
fn disk_bytes(metadata: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::blocks(metadata) * 512
}

#[cfg(not(unix))]
fn disk_bytes(metadata: &fs::Metadata) -> u64 {
    metadata.len()
}

/// Whether as much can be written as the engine needs to get anywhere.
pub(super) fn probe(path: &Path) -> io::Result<()> {
    let probe = path.join(PROBE);
    let written = File::create(&probe).and_then(|mut file| {
        let chunk = [1; 1 << 16];
        for _ in 0..PROBE_BYTES / chunk.len() {
            file.write_all(&chunk)?;
        }
        file.sync_all()
    });
    // Also when it could only be written in part; why it could not matters more.
    let removed = fs::remove_file(probe);
    written.and(removed)
}

/// The folder of all keyspaces in that of a database.
pub(crate) const KEYSPACES: &str = "keyspaces";

pub(super) const LOCK: &str = "lock";
const PROBE: &str = "probe";
const PROBE_BYTES: usize = 4 << 20;
const TRIES: usize = 20;

/// The engine's own lock, which it takes itself once this is dropped.
pub(super) fn lock(path: &Path) -> Result<File, OpenError> {
    let folder = |source| OpenError::Folder {
        path: path.to_owned(),
        source,
    };
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path.join(LOCK));
    let file = file.map_err(folder)?;
    for _ in 0..TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            // It may be about to be closed: a reader that has gone may still have a read under way.
            Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(50)),
            Err(TryLockError::Error(source)) => return Err(folder(source)),
        }
    }
    Err(OpenError::InUse {
        path: path.to_owned(),
    })
}
