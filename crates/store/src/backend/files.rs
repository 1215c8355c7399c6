//! Checks the engine's files before the engine opens them: it names no file that is damaged, and takes a
//! folder without its list for an empty one.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::folder::{KEYSPACES, newest_journal};
use super::manifest::Manifest;
use super::mark;

/// A file that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// Its path in the ring's folder.
    pub(super) file: PathBuf,
    pub(super) is_missing: bool,
    /// The number of the keyspace that it belongs to: 0 is the list of all others.
    pub(super) keyspace: Option<u64>,
}

/// A file of a ring that is not as it was written.
///
/// # Examples
///
/// ```
/// use jetwash_store::FaultyFile;
///
/// fn describe(fault: &FaultyFile) -> String {
///     let what = if fault.is_missing { "missing" } else { "damaged" };
///     format!("{}: {what}", fault.file.display())
/// }
/// # let _ = describe;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FaultyFile {
    /// Its path in the ring's folder.
    pub file: PathBuf,
    /// Whether it is gone. Otherwise it has other bytes than were written.
    pub is_missing: bool,
}

/// How much of the files is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// All but the values. These are nearly all of it, and damage to one costs a block and nothing else.
    Lists,
    /// All.
    Values,
}

/// Reads all files, and returns those that are missing or damaged. Tells of the bytes that it has
/// read.
pub(crate) fn check_values(
    path: &Path,
    progress: &mut dyn FnMut(u64),
) -> io::Result<Vec<FaultyFile>> {
    let manifest = Manifest::read(path)?;
    let faults = check_and_tell(path, manifest.as_ref(), Depth::Values, progress)?;
    let files = faults.into_iter().map(|fault| FaultyFile {
        file: fault.file,
        is_missing: fault.is_missing,
    });
    Ok(files.collect())
}

/// Looks for files that are missing or damaged.
pub(super) fn check(
    path: &Path,
    manifest: Option<&Manifest>,
    depth: Depth,
) -> io::Result<Vec<Fault>> {
    check_and_tell(path, manifest, depth, &mut |_| {})
}

fn check_and_tell(
    path: &Path,
    manifest: Option<&Manifest>,
    depth: Depth,
    progress: &mut dyn FnMut(u64),
) -> io::Result<Vec<Fault>> {
    let mut faults = Vec::new();
    let has_mark = path.join(mark::NAME).try_exists()?;
    if manifest.is_none() && !has_mark {
        // Nothing has been kept here yet.
        return Ok(faults);
    }
    let mut missing = |file: PathBuf, keyspace| {
        faults.push(Fault {
            file,
            is_missing: true,
            keyspace,
        });
    };
    if !has_mark {
        missing(mark::NAME.into(), None);
    }
    let version = read(&path.join(VERSION))?;
    if version.is_none() {
        missing(VERSION.into(), None);
    }
    let expected = manifest.map_or(0, |manifest| manifest.journal);
    if newest_journal(path)?.is_none_or(|newest| newest < expected) {
        missing(format!("{expected}.jnl").into(), None);
    }
    if version.is_some_and(|version| is_damaged_version(&version)) {
        faults.push(Fault {
            file: VERSION.into(),
            is_missing: false,
            keyspace: None,
        });
    }
    check_keyspace(path, 0, depth, progress, &mut faults)?;
    let known = match manifest {
        Some(manifest) => manifest.keyspaces.keys().copied().collect(),
        // One that was being made may lack everything.
        None if depth == Depth::Lists => Vec::new(),
        None => begun(path)?,
    };
    for id in known {
        check_keyspace(path, id, depth, progress, &mut faults)?;
    }
    Ok(faults)
}

/// The keyspaces that were made to the end, apart from the list.
fn begun(path: &Path) -> io::Result<Vec<u64>> {
    let mut begun = Vec::new();
    for entry in fs::read_dir(path.join(KEYSPACES))? {
        let entry = entry?;
        let name = entry.file_name();
        let id = name.to_str().and_then(|name| name.parse::<u64>().ok());
        if entry.path().join("current").try_exists()? {
            begun.extend(id.filter(|id| *id > 0));
        }
    }
    Ok(begun)
}

/// Whether no engine has written this version for a ring. A later engine's is left
/// to be refused as that, unless it is but one bit from the one in use.
fn is_damaged_version(version: &[u8]) -> bool {
    match version {
        [b'F', b'J', b'L', number] => *number < ENGINE || (number ^ ENGINE).count_ones() == 1,
        _ => true,
    }
}

/// The engine's format, which has been the same for all rings so far.
const ENGINE: u8 = 3;

/// The path of a keyspace in the ring's folder.
pub(super) fn keyspace_folder(id: u64) -> PathBuf {
    Path::new(KEYSPACES).join(id.to_string())
}

pub(crate) const VERSION: &str = "version";

fn check_keyspace(
    path: &Path,
    id: u64,
    depth: Depth,
    progress: &mut dyn FnMut(u64),
    faults: &mut Vec<Fault>,
) -> io::Result<()> {
    let folder = keyspace_folder(id);
    let mut fault = |file: PathBuf, is_missing| {
        faults.push(Fault {
            file,
            is_missing,
            keyspace: Some(id),
        });
    };
    // From `current` to the list it names, and from there to the files: each has the checksum of the
    // next, so the first that fails is the damaged one.
    let current = folder.join("current");
    let Some(bytes) = read(&path.join(&current))? else {
        fault(current, true);
        return Ok(());
    };
    let Some((list, checksum)) = decode_current(&bytes) else {
        fault(current, false);
        return Ok(());
    };
    let list = folder.join(format!("v{list}"));
    let Some(bytes) = read(&path.join(&list))? else {
        fault(list, true);
        return Ok(());
    };
    let listed = Some(&bytes).filter(|bytes| xxh3_128(bytes) == checksum);
    let Some((tables, blobs)) = listed.and_then(|bytes| decode_list(bytes)) else {
        fault(list, false);
        return Ok(());
    };
    for (number, checksum) in tables {
        let table = folder.join("tables").join(number.to_string());
        match hash(&path.join(&table), progress)? {
            None => fault(table, true),
            Some(found) if found != checksum => fault(table, false),
            Some(_) => {}
        }
    }
    for (number, checksum) in blobs {
        let blob = folder.join("blobs").join(number.to_string());
        let file = path.join(&blob);
        let is_whole = match depth {
            Depth::Lists => has_contents(&file)?,
            Depth::Values => hash(&file, progress)?.map(|found| found == checksum),
        };
        match is_whole {
            None => fault(blob, true),
            Some(false) => fault(blob, false),
            Some(true) => {}
        }
    }
    Ok(())
}

/// A small file; `None` if it is not there.
fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    found(fs::read(path))
}

fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn hash(path: &Path, progress: &mut dyn FnMut(u64)) -> io::Result<Option<u128>> {
    let Some(mut file) = found(File::open(path))? else {
        return Ok(None);
    };
    let mut hasher = Xxh3::new();
    let mut chunk = vec![0; 1 << 16];
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(Some(hasher.digest128())),
            count => {
                hasher.update(&chunk[..count]);
                progress(count as u64);
            }
        }
    }
}

/// The number of the list of files that counts, and the list's checksum.
fn decode_current(bytes: &[u8]) -> Option<(u64, u128)> {
    let (number, rest) = bytes.split_first_chunk()?;
    let (checksum, rest) = rest.split_first_chunk()?;
    (rest == [0]).then_some((u64::from_le_bytes(*number), u128::from_le_bytes(*checksum)))
}

/// Files with their checksums.
type Files = Vec<(u64, u128)>;

/// The tables and the files of values in a list.
fn decode_list(bytes: &[u8]) -> Option<(Files, Files)> {
    let contents = decode_contents(bytes.get(toc_at(bytes)?..)?)?;
    let section = |name: &[u8]| {
        let (_, at, length) = contents.iter().find(|(found, ..)| found == name)?;
        let at = usize::try_from(*at).ok()?;
        bytes.get(at..at.checked_add(usize::try_from(*length).ok()?)?)
    };
    let mut input = Input(section(b"tables")?);
    let mut tables = Vec::new();
    for _ in 0..input.array::<1>()?[0] {
        for _ in 0..input.array::<1>()?[0] {
            for _ in 0..u32::from_le_bytes(input.array()?) {
                tables.push(input.file()?);
                let _seqno: [u8; 8] = input.array()?;
            }
        }
    }
    let mut input = Input(section(b"blob_files")?);
    let mut blobs = Vec::new();
    for _ in 0..u32::from_le_bytes(input.array()?) {
        blobs.push(input.file()?);
    }
    Some((tables, blobs))
}

const TRAILER: usize = 38;

/// The offset of the table of contents, which ends each of the engine's files.
fn toc_at(bytes: &[u8]) -> Option<usize> {
    let trailer = bytes.len().checked_sub(TRAILER)?;
    let (at, _) = decode_trailer(bytes.get(trailer..)?)?;
    usize::try_from(at).ok()
}

fn decode_trailer(bytes: &[u8]) -> Option<(u64, u128)> {
    let rest = bytes.strip_prefix(b"SFA!\x01\x00")?;
    let (checksum, rest) = rest.split_first_chunk()?;
    let at = rest.first_chunk()?;
    Some((u64::from_le_bytes(*at), u128::from_le_bytes(*checksum)))
}

/// Names of sections with their places and lengths.
fn decode_contents(bytes: &[u8]) -> Option<Vec<(Vec<u8>, u64, u64)>> {
    let mut input = Input(bytes.strip_prefix(b"TOC!")?);
    let mut sections = Vec::new();
    for _ in 0..u32::from_le_bytes(input.array()?) {
        let at = u64::from_le_bytes(input.array()?);
        let length = u64::from_le_bytes(input.array()?);
        let name = usize::from(u16::from_le_bytes(input.array()?));
        sections.push((input.take(name)?.to_vec(), at, length));
    }
    Some(sections)
}

/// Whether a file of values has its table of contents, which its reading begins with.
fn has_contents(path: &Path) -> io::Result<Option<bool>> {
    let Some(mut file) = found(File::open(path))? else {
        return Ok(None);
    };
    let length = file.metadata()?.len();
    let Some(end) = length.checked_sub(TRAILER as u64) else {
        return Ok(Some(false));
    };
    file.seek(SeekFrom::Start(end))?;
    let mut trailer = [0; TRAILER];
    file.read_exact(&mut trailer)?;
    let Some((at, checksum)) = decode_trailer(&trailer).filter(|(at, _)| *at <= end) else {
        return Ok(Some(false));
    };
    if end - at > LONGEST_CONTENTS {
        return Ok(Some(false));
    }
    file.seek(SeekFrom::Start(at))?;
    let mut contents = vec![0; (end - at) as usize];
    file.read_exact(&mut contents)?;
    let is_whole = xxh3_128(&contents) == checksum;
    Ok(Some(is_whole && decode_contents(&contents).is_some()))
}

const LONGEST_CONTENTS: u64 = 1 << 16;

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// A file's number, and its checksum.
    fn file(&mut self) -> Option<(u64, u128)> {
        let number = u64::from_le_bytes(self.array()?);
        let [0] = self.array()? else { return None };
        Some((number, u128::from_le_bytes(self.array()?)))
    }
}
