//! Copies a folder as it is at one moment, also while the engine has it open elsewhere.
//!
//! The engine changes a folder in three ways. Tables, files of values and lists of these are written
//! once and removed when no list names them; which list of a keyspace counts is in `current`, which is
//! replaced as a whole. Journals grow, and one is removed only when all that is in it is in tables.
//! So a copy has every batch that had ended when the newest journal was looked through, if keyspaces
//! are copied before journals, each at one moment, and no journal was removed meanwhile. What was
//! written out to tables in between is in the journals too. It is what a killed process would leave.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::files::VERSION;
use super::folder::{KEYSPACES, LOCK};
use super::{journal, manifest, mark};

/// Copies what the engine has in a folder to an empty one. Large files that never change are linked
/// where that is possible.
///
/// # Errors
///
/// When a file cannot be read or written, and with [`io::ErrorKind::TimedOut`] if the folder
/// changed during each of several attempts.
pub(crate) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    // Held against a program that would open the folder now. Another copy may be made at the same time.
    let lock = unless_gone(File::open(from.join(LOCK)))?;
    let is_in_use = lock
        .as_ref()
        .is_some_and(|lock| lock.try_lock_shared().is_err());
    for _ in 0..ATTEMPTS {
        let before = changing(from)?;
        copy_once(from, to, is_in_use)?;
        if changing(from)? == before {
            return Ok(());
        }
        for entry in fs::read_dir(to)? {
            let path = entry?.path();
            match path.is_dir() {
                true => fs::remove_dir_all(path)?,
                false => fs::remove_file(path)?,
            }
        }
    }
    Err(in_motion())
}

fn in_motion() -> io::Error {
    io::Error::new(
        io::ErrorKind::TimedOut,
        "its files changed each time while they were copied; try again when less is written",
    )
}

/// Changes if a copy that is being made would not be of one moment: the names of journals and
/// keyspaces, the list of keyspaces, and the manifest.
fn changing(folder: &Path) -> io::Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut found = BTreeMap::new();
    for path in entries(folder)? {
        if is_journal(&path) {
            found.insert(path, Vec::new());
        }
    }
    let keyspaces = folder.join(KEYSPACES);
    for keyspace in entries(&keyspaces)? {
        found.insert(keyspace, Vec::new());
    }
    for file in [
        folder.join(manifest::NAME),
        keyspaces.join(LIST).join(CURRENT),
    ] {
        let bytes = unless_gone(fs::read(&file))?.unwrap_or_default();
        found.insert(file, bytes);
    }
    Ok(found)
}

fn copy_once(from: &Path, to: &Path, is_in_use: bool) -> io::Result<()> {
    for keyspace in entries(&from.join(KEYSPACES))? {
        if let Some(number) = keyspace.file_name() {
            copy_keyspace(&keyspace, &to.join(KEYSPACES).join(number))?;
        }
    }
    for name in [VERSION, manifest::NAME, mark::NAME] {
        copy_file(&from.join(name), to)?;
    }
    // Last, and the newest at the very end: nothing may be in no journal and not yet in a table.
    for path in journal::journals(from)? {
        match is_in_use {
            true => copy_batches(&path, to)?,
            // With what is damaged, so that the copy is found to be so too.
            false => copy_file(&path, to)?,
        }
    }
    Ok(())
}

/// Copies a keyspace as it is at one moment: a table may be removed by the time that it is its turn.
fn copy_keyspace(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for _ in 0..ATTEMPTS {
        let current = unless_gone(fs::read(from.join(CURRENT)))?;
        for file in entries(from)? {
            let name = file.file_name().and_then(|name| name.to_str());
            if name.is_some_and(|name| name.starts_with('v')) {
                copy_file(&file, to)?;
            }
        }
        for kind in ["tables", "blobs"] {
            let (from, to) = (from.join(kind), to.join(kind));
            if from.try_exists()? {
                fs::create_dir_all(&to)?;
            }
            for file in entries(&from)? {
                link_file(&file, &to)?;
            }
        }
        if unless_gone(fs::read(from.join(CURRENT)))? == current {
            // One that is being made, or removed, has no list.
            return current.map_or(Ok(()), |current| fs::write(to.join(CURRENT), current));
        }
    }
    Err(in_motion())
}

/// Copies the whole batches of a journal: behind them the engine may be writing.
fn copy_batches(path: &Path, to: &Path) -> io::Result<()> {
    let Some(file) = unless_gone(File::open(path))? else {
        return Ok(());
    };
    let end = journal::end_of_batches(file)?;
    let mut copy = File::create(to.join(path.file_name().unwrap_or_default()))?;
    if let Some(file) = unless_gone(File::open(path))? {
        io::copy(&mut file.take(end), &mut copy)?;
    }
    Ok(())
}

fn copy_file(path: &Path, to: &Path) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default();
    unless_gone(fs::copy(path, to.join(name))).map(drop)
}

/// The file itself under another name, so that it stays when the engine removes it.
fn link_file(path: &Path, to: &Path) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default();
    match fs::hard_link(path, to.join(name)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        // At an earlier attempt: a file of this name never changes.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        // Another file system, or one without links, or another's file.
        Err(_) if is_large(path)? => refer_to(path, &to.join(name)),
        Err(_) => copy_file(path, to),
        linked => linked,
    }
}

/// Values are nearly all of a ring, and there may be no room for another copy of them.
fn is_large(path: &Path) -> io::Result<bool> {
    Ok(unless_gone(fs::metadata(path))?.is_some_and(|metadata| metadata.len() > LARGE))
}

#[cfg(unix)]
fn refer_to(path: &Path, name: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(fs::canonicalize(path)?, name)
}

#[cfg(not(unix))]
fn refer_to(path: &Path, name: &Path) -> io::Result<()> {
    fs::copy(path, name).map(drop)
}

fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let Some(entries) = unless_gone(fs::read_dir(folder))? else {
        return Ok(Vec::new());
    };
    entries.map(|entry| Ok(entry?.path())).collect()
}

fn is_journal(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "jnl")
}

fn unless_gone<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

const CURRENT: &str = "current";
/// The keyspace that lists the others.
const LIST: &str = "0";
const ATTEMPTS: usize = 20;
const LARGE: u64 = 1 << 20;
