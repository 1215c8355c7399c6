//! Makes a ring that opens of the files that are left.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use fjall::{Database, Keyspace};
use xxhash_rust::xxh3::Xxh3;

use super::files::{self, Depth, Fault, VERSION};
use super::folder::{self, KEYSPACES, newest_journal};
use super::keyspaces::{LETTERS, bucket_name, keyspace_options, open_error};
use super::manifest::{self, Manifest};
use super::state;
use super::{BucketName, journal, mark};
use crate::error::OpenError;
use crate::seq::Seq;

/// The outcome of a repair of a ring's files.
pub(crate) struct RepairedFiles {
    /// Files that are gone, as named in the ring's folder.
    pub(crate) missing: Vec<PathBuf>,
    /// Files that are not as they were written.
    pub(crate) damaged: Vec<PathBuf>,
    /// The number of dead letters that are left, if a damaged table has taken others.
    pub(crate) letters_left: Option<u64>,
    /// The number of accounts whose state is left, if a damaged table has taken others.
    pub(crate) accounts_left: Option<u64>,
    /// The folder of the files that could not be used.
    pub(crate) set_aside: Option<PathBuf>,
    /// The position from which on there were events.
    pub(crate) oldest_seq: Seq,
    /// Whether it is known how far positions have been given out.
    pub(crate) is_mark_known: bool,
}

/// Makes everything in the folder of a ring either usable or sets it aside.
///
/// A bucket whose tables or lists are damaged is read from its files of values and from the journals,
/// the state from the manifest and the journals. The engine's list of keyspaces is made anew then, as
/// it still has the old ones.
pub(crate) fn repair_files(path: &Path) -> Result<RepairedFiles, OpenError> {
    let error = |source| OpenError::Folder {
        path: path.to_owned(),
        source,
    };
    if !path.join(KEYSPACES).try_exists().map_err(error)? && !has_ring(path).map_err(error)? {
        return Err(error(io::ErrorKind::NotFound.into()));
    }
    let _lock = folder::lock(path)?;
    let manifest = Manifest::read(path).map_err(error)?;
    let faults = files::check(path, manifest.as_ref(), Depth::Values).map_err(error)?;
    // Looked at before anything is changed, as what follows makes a new mark.
    let known = manifest.as_ref().map_or(Seq::FIRST, Manifest::next_seq);
    let reserved = mark::stored(path).map_err(error)?;
    let mut repaired = RepairedFiles {
        missing: named(&faults, true),
        damaged: named(&faults, false),
        letters_left: None,
        accounts_left: None,
        set_aside: None,
        oldest_seq: manifest.as_ref().map_or(Seq::FIRST, oldest_seq),
        is_mark_known: !faults
            .iter()
            .any(|fault| is_of_state(fault, manifest.as_ref()))
            || reserved.is_some_and(|mark| mark.seq >= known),
    };
    if faults.is_empty() {
        return Ok(repaired);
    }
    let Some(mut manifest) = manifest else {
        return Err(OpenError::Corrupt {
            path: path.to_owned(),
            what: "it has no manifest that says what belongs to it".to_owned(),
        });
    };
    let bad: BTreeSet<u64> = faults.iter().filter_map(|fault| fault.keyspace).collect();
    let is_version = |fault: &Fault| fault.file == Path::new(VERSION);
    if !bad.is_empty() || faults.iter().any(is_version) {
        rebuild(path, &mut manifest, &bad, &mut repaired)?;
    }
    let newest = newest_journal(path).map_err(error)?;
    if newest.is_none_or(|newest| newest < manifest.journal) {
        make_journal(path, manifest.journal).map_err(error)?;
    }
    mark::Mark::open(path).map_err(error)?;
    manifest.write(path).map_err(error)?;
    Ok(repaired)
}

/// Makes a journal with nothing in it in place of one that is gone.
fn make_journal(path: &Path, number: u64) -> io::Result<()> {
    File::create(path.join(format!("{number}.jnl")))?.sync_all()?;
    folder::sync(path)
}

fn has_ring(path: &Path) -> io::Result<bool> {
    Ok(path.join(manifest::NAME).try_exists()? || path.join(mark::NAME).try_exists()?)
}

/// Whether the position may have been in a file, or in one that says how far it may be.
fn is_of_state(fault: &Fault, manifest: Option<&Manifest>) -> bool {
    match fault.keyspace {
        Some(id) => manifest
            .and_then(|manifest| manifest.keyspaces.get(&id))
            .is_some_and(|name| name == state::KEYSPACE),
        None => fault.file != Path::new(VERSION),
    }
}

fn named(faults: &[Fault], is_missing: bool) -> Vec<PathBuf> {
    let faults = faults.iter().filter(|fault| fault.is_missing == is_missing);
    faults.map(|fault| fault.file.clone()).collect()
}

fn oldest_seq(manifest: &Manifest) -> Seq {
    let firsts = manifest.keyspaces.values().filter_map(|name| {
        let Some(BucketName::Events(first_seq)) = bucket_name(name) else {
            return None;
        };
        Some(first_seq)
    });
    let floor = manifest.state.get(state::FLOOR);
    let floor = floor.and_then(|value| state::decode_numbers::<1>(value));
    let floor = floor.map_or(Seq::FIRST, |[floor]| Seq::new(floor).max(Seq::FIRST));
    firsts.min().map_or(floor, |first| first.max(floor))
}

/// The folder in which the new list and the salvaged keyspaces are made.
const WORK: &str = "repair.new";
const ASIDE: &str = "damaged-";

/// Makes the engine's list of keyspaces anew, and the keyspaces that are damaged; puts the old ones
/// aside.
fn rebuild(
    path: &Path,
    manifest: &mut Manifest,
    bad: &BTreeSet<u64>,
    repaired: &mut RepairedFiles,
) -> Result<(), OpenError> {
    let io_error = |source| OpenError::Folder {
        path: path.to_owned(),
        source,
    };
    let error = |error| open_error(path, error);
    let work = path.join(WORK);
    gone(fs::remove_dir_all(&work)).map_err(io_error)?;
    let made = build(path, &work, manifest, bad, repaired).map_err(error)?;

    let aside = path.join(next_aside(path).map_err(io_error)?);
    // The list of keyspaces goes last in each direction: an opening is refused without it, so that a
    // repair that is cut short does not go unnoticed.
    let swap = || -> io::Result<()> {
        fs::create_dir_all(aside.join(KEYSPACES))?;
        for id in bad.iter().chain([&0]) {
            let folder = files::keyspace_folder(*id);
            gone(fs::rename(path.join(&folder), aside.join(&folder)))?;
        }
        for id in made.keys().chain([&0]) {
            let folder = files::keyspace_folder(*id);
            fs::rename(work.join(&folder), path.join(&folder))?;
        }
        gone(fs::rename(path.join(VERSION), aside.join(VERSION)))?;
        fs::rename(work.join(VERSION), path.join(VERSION))?;
        fs::remove_dir_all(&work)?;
        folder::sync(&path.join(KEYSPACES))?;
        folder::sync(path)
    };
    swap().map_err(io_error)?;
    manifest.keyspaces.retain(|id, _| !bad.contains(id));
    manifest.keyspaces.extend(made);
    repaired.set_aside = Some(aside);
    Ok(())
}

/// Makes a database whose list has the sound keyspaces under their numbers, without what is in them,
/// and the damaged ones under new numbers, with what can be read of them. Returns the new ones.
fn build(
    path: &Path,
    work: &Path,
    manifest: &Manifest,
    bad: &BTreeSet<u64>,
    repaired: &mut RepairedFiles,
) -> fjall::Result<BTreeMap<u64, String>> {
    let last = last_keyspace(path)?.max(manifest.keyspaces.keys().copied().max().unwrap_or(0));
    let database = Database::builder(work).worker_threads(1).open()?;
    let mut placeholders = Vec::new();
    for id in 1..=last {
        match manifest.keyspaces.get(&id).filter(|_| !bad.contains(&id)) {
            Some(name) => {
                let keyspace = database.keyspace(name, || keyspace_options(name))?;
                if number(&keyspace) != Some(id) {
                    return Err(fjall::Error::Unrecoverable);
                }
            }
            // The engine takes no number that has a folder.
            None => {
                let folder = work.join(files::keyspace_folder(id));
                fs::create_dir_all(&folder)?;
                placeholders.push(folder);
            }
        }
    }
    let mut made = BTreeMap::new();
    let mut salvaged = BTreeMap::new();
    for (id, name) in manifest.keyspaces.iter().filter(|(id, _)| bad.contains(id)) {
        let keyspace = database.keyspace(name, || keyspace_options(name))?;
        let number = number(&keyspace).ok_or(fjall::Error::Unrecoverable)?;
        made.insert(number, name.clone());
        read_values(
            &path.join(files::keyspace_folder(*id)).join("blobs"),
            &keyspace,
        )?;
        salvaged.insert(*id, keyspace);
    }
    journal::read_items(path, |id, key, value| {
        let Some(keyspace) = salvaged.get(&id) else {
            return Ok(());
        };
        match value {
            Some(value) => keyspace.insert(key, value)?,
            None => keyspace.remove(key)?,
        }
        Ok(())
    })?;
    for keyspace in salvaged.values() {
        if &**keyspace.name() == state::KEYSPACE {
            add_noted(keyspace, manifest)?;
        }
        // Of these nothing but the journals has a second copy.
        match &**keyspace.name() {
            LETTERS => repaired.letters_left = Some(keyspace.len()? as u64),
            name => {
                if let Some(BucketName::Accounts(_)) = bucket_name(name) {
                    *repaired.accounts_left.get_or_insert_default() += keyspace.len()? as u64;
                }
            }
        }
        keyspace.rotate_memtable_and_wait()?;
    }
    drop(salvaged);
    drop(database);
    for folder in placeholders {
        fs::remove_dir(folder)?;
    }
    Ok(made)
}

fn number(keyspace: &Keyspace) -> Option<u64> {
    keyspace.path().file_name()?.to_str()?.parse().ok()
}

/// The greatest number that a keyspace's folder has.
fn last_keyspace(path: &Path) -> io::Result<u64> {
    let entries = match fs::read_dir(path.join(KEYSPACES)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    let mut last = 0;
    for entry in entries {
        let name = entry?.file_name();
        last = last.max(
            name.to_str()
                .and_then(|name| name.parse().ok())
                .unwrap_or(0),
        );
    }
    Ok(last)
}

/// Puts what the manifest says of the state where the journals say nothing, or less.
fn add_noted(keyspace: &Keyspace, manifest: &Manifest) -> fjall::Result<()> {
    let position = keyspace.get(state::POSITION)?;
    let position = position.and_then(|value| state::decode_numbers::<2>(&value));
    let is_older = position.is_none_or(|[next_seq, _]| next_seq < manifest.next_seq().get());
    for (key, value) in &manifest.state {
        if is_older || keyspace.get(key)?.is_none() {
            keyspace.insert(key.as_slice(), value.clone())?;
        }
    }
    Ok(())
}

/// Reads all that is whole of a keyspace's files of values, which have the keys as well.
fn read_values(folder: &Path, keyspace: &Keyspace) -> fjall::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    let mut files = Vec::new();
    for entry in entries {
        files.push(entry?.path());
    }
    files.sort();
    // In any order, as what a bucket holds is written once.
    for file in files {
        let bytes = Bytes::from(fs::read(file)?);
        let mut at = 0;
        while let Some(found) = find(&bytes, at) {
            match value_at(&bytes, found) {
                Some((key, value, next)) => {
                    keyspace.insert(key, value)?;
                    at = next;
                }
                None => at = found + 1,
            }
        }
        keyspace.rotate_memtable_and_wait()?;
    }
    Ok(())
}

const VALUE: &[u8] = b"BLOB";

fn find(bytes: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    let found = rest.windows(VALUE.len()).position(|window| window == VALUE);
    found.map(|found| from + found)
}

/// The key and the value at a place, and where the next may be: after the mark come the checksum, 16
/// bytes, the number of the change, 8, and the lengths of key, unpacked and packed value, 2, 4 and 4.
fn value_at(bytes: &Bytes, at: usize) -> Option<(Bytes, Bytes, usize)> {
    let rest = bytes.get(at..)?.strip_prefix(VALUE)?;
    let (checksum, rest) = rest.split_first_chunk()?;
    let (_number, rest) = rest.split_first_chunk::<8>()?;
    let (key, rest) = rest.split_first_chunk()?;
    let (unpacked, rest) = rest.split_first_chunk::<4>()?;
    let (packed, rest) = rest.split_first_chunk::<4>()?;
    let key = usize::from(u16::from_le_bytes(*key));
    let value = u32::from_le_bytes(*packed) as usize;
    let both = rest.get(..key.checked_add(value)?)?;
    let mut hasher = Xxh3::new();
    hasher.update(both);
    if key == 0 || unpacked != packed || hasher.digest128() != u128::from_le_bytes(*checksum) {
        return None;
    }
    let both = bytes.slice_ref(both);
    let start = at + HEADER;
    Some((both.slice(..key), both.slice(key..), start + key + value))
}

const HEADER: usize = 38;

/// A name that is not taken yet.
fn next_aside(path: &Path) -> io::Result<String> {
    let mut last = 0;
    for entry in fs::read_dir(path)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(ASIDE));
        last = last.max(number.and_then(|number| number.parse().ok()).unwrap_or(0));
    }
    Ok(format!("{ASIDE}{}", last + 1))
}

fn gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
