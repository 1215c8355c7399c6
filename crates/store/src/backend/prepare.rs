//! Makes a folder ready for the storage engine, which expects more of it than it sees to itself.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::Path;

use super::files::{self, Depth, Fault, VERSION};
use super::folder::{KEYSPACES, LOCK, lock, sync};
use super::journal;
use super::manifest::Manifest;
use crate::error::OpenError;

/// Makes a folder ready to be opened: makes it, finishes what a crash cut short, and cuts damage
/// off the journals. Returns how many bytes of commits that may have lost, and the manifest.
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

/// Looks through all files for the one that makes the engine fail, which it does not name.
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

const FIRST_JOURNAL: &str = "0.jnl";

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
