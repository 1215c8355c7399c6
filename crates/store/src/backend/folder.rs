//! What the storage engine expects of its folder and does not see to itself.

use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::files::{self, Depth, Fault};
use super::journal;
use super::manifest::Manifest;
use crate::error::OpenError;

/// Makes a folder ready to be opened: makes it, finishes what a crash cut short, and cuts damage
/// off the journals. Tells how many bytes of commits that may have lost, and what was noted of the ring.
///
/// Nothing is changed if a file is missing or damaged that the engine cannot do without.
pub(super) fn prepare(path: &Path) -> Result<(u64, Option<Manifest>), OpenError> {
    let folder = |source| OpenError::Folder {
        path: path.to_owned(),
        source,
    };
    make(path).map_err(folder)?;
    let _lock = lock(path)?;
    let manifest = Manifest::read(path).map_err(folder)?;
    let faults = files::check(path, manifest.as_ref(), Depth::Lists).map_err(folder)?;
    refuse(path, faults)?;
    clear_unfinished(path).map_err(folder)?;
    let cut = journal::cut_damage(path).map_err(folder)?;
    Ok((cut, manifest))
}

/// Looks into all files for what has the engine fail: it does not say in which of them it is.
pub(crate) fn diagnose(path: &Path, error: OpenError) -> OpenError {
    if !matches!(error, OpenError::Storage { .. } | OpenError::Folder { .. }) {
        return error;
    }
    // If they cannot be read either, that is what is wrong.
    let found = Manifest::read(path)
        .and_then(|manifest| files::check(path, manifest.as_ref(), Depth::Values));
    match found.map(|faults| refuse(path, faults)) {
        Ok(Err(named)) => named,
        _ => error,
    }
}

/// An error that names the files that are not as they should be.
fn refuse(path: &Path, faults: Vec<Fault>) -> Result<(), OpenError> {
    let (missing, damaged): (Vec<_>, Vec<_>) =
        faults.into_iter().partition(|fault| fault.is_missing);
    let named = |faults: Vec<Fault>| faults.into_iter().map(|fault| fault.file).collect();
    let path = path.to_owned();
    if !missing.is_empty() {
        let files = named(missing);
        return Err(OpenError::Missing { path, files });
    }
    if !damaged.is_empty() {
        let files = named(damaged);
        return Err(OpenError::Damaged { path, files });
    }
    Ok(())
}

/// Makes the names in a folder survive a power failure.
pub(super) fn sync(path: &Path) -> io::Result<()> {
    // Elsewhere folders cannot be opened, and need not be synced.
    if cfg!(unix) {
        File::open(path)?.sync_all()?;
    }
    Ok(())
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
pub(super) const KEYSPACES: &str = "keyspaces";

const LOCK: &str = "lock";
const VERSION: &str = "version";
const FIRST_JOURNAL: &str = "0.jnl";
const PROBE: &str = "probe";
const PROBE_BYTES: usize = 4 << 20;
const TRIES: usize = 20;

fn make(path: &Path) -> io::Result<()> {
    if path.try_exists()? {
        return Ok(());
    }
    fs::create_dir_all(path)?;
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync(parent),
        _ => Ok(()),
    }
}

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
            // It may be about to be closed: a read may be going on for somebody who has gone.
            Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(50)),
            Err(TryLockError::Error(source)) => return Err(folder(source)),
        }
    }
    Err(OpenError::InUse {
        path: path.to_owned(),
    })
}

/// Removes what is left of a database whose making was cut short.
///
/// The engine makes its files one after the other, and refuses to begin again once there is a
/// journal. Nothing can have been stored before the last of them, the list of keyspaces, is there.
fn clear_unfinished(path: &Path) -> io::Result<()> {
    let mut has_begun = false;
    for entry in fs::read_dir(path)? {
        let name = entry?.file_name();
        let made = [LOCK, VERSION, FIRST_JOURNAL, KEYSPACES];
        if !made.iter().any(|made| name == OsStr::new(made)) {
            return Ok(());
        }
        has_begun |= name != OsStr::new(LOCK);
    }
    let list = path.join(KEYSPACES).join("0").join("current");
    if !has_begun || list.try_exists()? {
        return Ok(());
    }
    let gone = |result: io::Result<()>| match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    };
    gone(fs::remove_file(path.join(VERSION)))?;
    gone(fs::remove_file(path.join(FIRST_JOURNAL)))?;
    gone(fs::remove_dir_all(path.join(KEYSPACES)))
}
