//! A file of slots. Its size is fixed, so it cannot grow, and a slot is only believed with its
//! checksum, so a write that was cut short is a missing entry and nothing else.
//!
//! Page 0 is the header: a magic number, the number of pages, a salt, and from byte 1024 the note.
//! Every further page of 4,096 bytes has 16 slots of 256. A key may be in any slot of one page,
//! which its hash with the salt chooses: nobody can choose DIDs that push each other out.
//!
//! A slot has a checksum (`u32`), a number that grows with every write (`u32`), the lengths of key
//! and value (`u16` each), the key, and the value. Numbers are little-endian. The slot with the
//! smallest number is the first to be overwritten.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};
use thiserror::Error;

use super::disk::DiskCache;

/// Keeps documents in one file of a fixed size, with no index in memory.
///
/// An entry takes 256 bytes, so a file of 2.6 GB has room for 10 million accounts; real documents
/// take about 170 of them, and one that needs more is not kept. The file is sparse: it takes up
/// disk space as it fills. When a page is full, its oldest entry is overwritten.
///
/// # Examples
///
/// ```
/// use jetwash_identity::{DiskCache, FileCache};
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("identities");
/// FileCache::open(&path, 1 << 20)?.put(b"did:web:a.test", b"value")?;
///
/// let opened_again = FileCache::open(&path, 1 << 20)?;
/// assert_eq!(opened_again.get(b"did:web:a.test")?.as_deref(), Some(&b"value"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct FileCache {
    file: File,
    pages: u64,
    salt: [u8; 16],
    next: AtomicU32,
    /// One for every sixteenth page, held while a page is changed.
    changing: [Mutex<()>; 16],
}

impl FileCache {
    /// The smallest size in bytes: the header and one page.
    pub const MIN_BYTES: u64 = 2 * PAGE as u64;

    /// Opens the file at `path`, or makes one of up to `max_bytes`, which are rounded down to
    /// whole pages of 4,096 bytes. A file of another size, or that is not such a file, is emptied.
    ///
    /// # Errors
    ///
    /// When `max_bytes` is under [`MIN_BYTES`](Self::MIN_BYTES), when another process has the file
    /// open, or when it cannot be read or written to.
    pub fn open(path: impl AsRef<Path>, max_bytes: u64) -> Result<Self, FileCacheError> {
        let path = path.as_ref();
        let fault = |error| FileCacheError::File {
            path: path.to_owned(),
            error,
        };
        if max_bytes < Self::MIN_BYTES {
            return Err(FileCacheError::TooSmall { max_bytes });
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(path).map_err(fault)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => FileCacheError::InUse {
                path: path.to_owned(),
            },
            TryLockError::Error(error) => fault(error),
        })?;
        let pages = max_bytes / PAGE as u64 - 1;
        let salt = salt_of(&file, pages).map_err(fault)?;
        let (salt, next) = match salt {
            Some(salt) => (salt, newest(&file, pages).map_err(fault)?.wrapping_add(1)),
            None => (make(&file, pages).map_err(fault)?, 1),
        };
        Ok(Self {
            file,
            pages,
            salt,
            next: AtomicU32::new(next),
            changing: Default::default(),
        })
    }

    /// The size of the file in bytes, which never changes.
    #[must_use]
    pub const fn size(&self) -> u64 {
        (self.pages + 1) * PAGE as u64
    }

    /// The page in which a key may be, and the place of that page in the file.
    fn place(&self, key: &[u8]) -> (u64, u64) {
        let hash = Sha256::new().chain_update(self.salt).chain_update(key);
        let hash = hash.finalize();
        let [a, b, c, d, e, f, g, h, ..] = hash[..] else {
            return (0, PAGE as u64);
        };
        let page = u64::from_le_bytes([a, b, c, d, e, f, g, h]) % self.pages;
        (page, (page + 1) * PAGE as u64)
    }

    fn change(&self, page: u64) -> MutexGuard<'_, ()> {
        let lock = &self.changing[(page % 16) as usize];
        lock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DiskCache for FileCache {
    fn get(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let (_, place) = self.place(key);
        let mut page = [0; PAGE];
        read_at(&self.file, &mut page, place)?;
        let mut slots = page.chunks(SLOT).filter_map(Slot::read);
        let found = slots.find(|slot| slot.key == key);
        Ok(found.map(|slot| slot.value.to_vec()))
    }

    fn put(&self, key: &[u8], value: &[u8]) -> io::Result<bool> {
        if key.is_empty() || key.len() + value.len() > SLOT - SLOT_HEAD {
            return Ok(false);
        }
        let (number, place) = self.place(key);
        let _changing = self.change(number);
        let mut page = [0; PAGE];
        read_at(&self.file, &mut page, place)?;
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        let chosen = choose(&page, key, next);
        let slot = Slot {
            number: next,
            key,
            value,
        };
        write_at(&self.file, &slot.write(), place + (chosen * SLOT) as u64)?;
        Ok(true)
    }

    fn remove(&self, key: &[u8]) -> io::Result<()> {
        let (number, place) = self.place(key);
        let _changing = self.change(number);
        let mut page = [0; PAGE];
        read_at(&self.file, &mut page, place)?;
        for (index, bytes) in page.chunks(SLOT).enumerate() {
            if Slot::read(bytes).is_some_and(|slot| slot.key == key) {
                write_at(&self.file, &[0; SLOT], place + (index * SLOT) as u64)?;
            }
        }
        Ok(())
    }

    fn note(&self) -> io::Result<Option<Vec<u8>>> {
        let mut bytes = [0; NOTE_HEAD + NOTE];
        read_at(&self.file, &mut bytes, NOTE_AT)?;
        Ok(note_in(&bytes).map(<[u8]>::to_vec))
    }

    fn set_note(&self, note: &[u8]) -> io::Result<()> {
        if note.len() > NOTE {
            return Err(io::Error::other("the note is longer than 256 bytes"));
        }
        // What was put before must not be lost while the note is kept.
        self.file.sync_data()?;
        let mut bytes = vec![0; 4];
        bytes.extend((note.len() as u16).to_le_bytes());
        bytes.extend(note);
        bytes.resize(NOTE_HEAD + NOTE, 0);
        let sum = crc32fast::hash(&bytes[4..]);
        bytes[..4].copy_from_slice(&sum.to_le_bytes());
        write_at(&self.file, &bytes, NOTE_AT)?;
        self.file.sync_data()
    }
}

/// Why the file of a [`FileCache`] cannot be opened.
///
/// # Examples
///
/// ```
/// use jetwash_identity::{FileCache, FileCacheError};
///
/// let error = FileCache::open("identities", 4096).err();
/// assert!(matches!(error, Some(FileCacheError::TooSmall { max_bytes: 4096 })));
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FileCacheError {
    /// The size is too small for a single page.
    #[error("the cache of identities has a size of {max_bytes} bytes; it needs 8,192 or more")]
    TooSmall {
        /// The size that was asked for.
        max_bytes: u64,
    },
    /// Another process has the file open, or this one has it open twice.
    #[error("the cache of identities {path:?} is in use by another process")]
    InUse {
        /// The path of the file.
        path: PathBuf,
    },
    /// The file cannot be opened, read or written to.
    #[error("the cache of identities {path:?} cannot be used")]
    File {
        /// The path of the file.
        path: PathBuf,
        /// The reason.
        #[source]
        error: io::Error,
    },
}

/// An entry in its place.
struct Slot<'a> {
    number: u32,
    key: &'a [u8],
    value: &'a [u8],
}

impl<'a> Slot<'a> {
    /// `None` if there is no entry, or if it is damaged.
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let (sum, rest) = bytes.split_first_chunk::<4>()?;
        let (number, lengths) = rest.split_first_chunk::<4>()?;
        let (key_length, after) = lengths.split_first_chunk::<2>()?;
        let (value_length, entry) = after.split_first_chunk::<2>()?;
        let key_length = usize::from(u16::from_le_bytes(*key_length));
        let value_length = usize::from(u16::from_le_bytes(*value_length));
        let (key, after) = entry.split_at_checked(key_length)?;
        let value = after.get(..value_length)?;
        let is_whole = key_length > 0 && crc32fast::hash(rest) == u32::from_le_bytes(*sum);
        is_whole.then_some(Self {
            number: u32::from_le_bytes(*number),
            key,
            value,
        })
    }

    fn write(&self) -> Vec<u8> {
        let mut bytes = vec![0; 4];
        bytes.extend(self.number.to_le_bytes());
        bytes.extend((self.key.len() as u16).to_le_bytes());
        bytes.extend((self.value.len() as u16).to_le_bytes());
        bytes.extend(self.key);
        bytes.extend(self.value);
        bytes.resize(SLOT, 0);
        let sum = crc32fast::hash(&bytes[4..]);
        bytes[..4].copy_from_slice(&sum.to_le_bytes());
        bytes
    }
}

/// The slot for a key: its own, an empty one, or that of the oldest entry.
fn choose(page: &[u8; PAGE], key: &[u8], next: u32) -> usize {
    let (mut oldest, mut age) = (0, 0);
    let mut empty = None;
    for (index, bytes) in page.chunks(SLOT).enumerate() {
        match Slot::read(bytes) {
            Some(slot) if slot.key == key => return index,
            // Numbers begin anew after four thousand million writes.
            Some(slot) if next.wrapping_sub(slot.number) > age => {
                (oldest, age) = (index, next.wrapping_sub(slot.number));
            }
            Some(_) => {}
            None => empty = empty.or(Some(index)),
        }
    }
    empty.unwrap_or(oldest)
}

/// The salt in the header, if the file is one of ours and of this size.
fn salt_of(file: &File, pages: u64) -> io::Result<Option<[u8; 16]>> {
    if file.metadata()?.len() != (pages + 1) * PAGE as u64 {
        return Ok(None);
    }
    let mut header = [0; HEADER];
    read_at(file, &mut header, 0)?;
    let Some((sum, fields)) = header.split_first_chunk::<4>() else {
        return Ok(None);
    };
    let is_ours = fields.starts_with(MAGIC) && crc32fast::hash(fields) == u32::from_le_bytes(*sum);
    let salt = fields.last_chunk::<16>().filter(|_| is_ours);
    Ok(salt.copied())
}

/// Empties the file and gives it a header with a new salt.
fn make(file: &File, pages: u64) -> io::Result<[u8; 16]> {
    file.set_len(0)?;
    file.set_len((pages + 1) * PAGE as u64)?;
    let salt = random_salt();
    let mut header = vec![0; 4];
    header.extend(MAGIC);
    header.extend(salt);
    let sum = crc32fast::hash(&header[4..]);
    header[..4].copy_from_slice(&sum.to_le_bytes());
    write_at(file, &header, 0)?;
    file.sync_data()?;
    Ok(salt)
}

/// About the newest number in the file, from a sample of its pages: numbers need only be in about
/// the order of the writes, and a large file is not read as a whole at each start.
fn newest(file: &File, pages: u64) -> io::Result<u32> {
    let mut newest = 0;
    let mut page = [0; PAGE];
    for index in 0..pages.min(SAMPLE) {
        let number = u128::from(pages) * u128::from(index) / u128::from(pages.min(SAMPLE));
        read_at(file, &mut page, (number as u64 + 1) * PAGE as u64)?;
        let numbers = page.chunks(SLOT).filter_map(Slot::read);
        newest = numbers.fold(newest, |newest, slot| newest.max(slot.number));
    }
    Ok(newest)
}

/// From the keys that the standard library gives each of its hash tables.
fn random_salt() -> [u8; 16] {
    use std::hash::BuildHasher;
    let half = || std::hash::RandomState::new().hash_one(MAGIC).to_le_bytes();
    let mut salt = [0; 16];
    salt[..8].copy_from_slice(&half());
    salt[8..].copy_from_slice(&half());
    salt
}

fn note_in(bytes: &[u8]) -> Option<&[u8]> {
    let (sum, rest) = bytes.split_first_chunk::<4>()?;
    let (length, text) = rest.split_first_chunk::<2>()?;
    let note = text.get(..usize::from(u16::from_le_bytes(*length)))?;
    let is_whole = crc32fast::hash(rest) == u32::from_le_bytes(*sum);
    // The checksum of zeroes is not zero, so an empty place is never whole.
    is_whole.then_some(note)
}

#[cfg(unix)]
fn read_at(file: &File, bytes: &mut [u8], place: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, place)
}

#[cfg(unix)]
fn write_at(file: &File, bytes: &[u8], place: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, place)
}

#[cfg(windows)]
fn read_at(file: &File, mut bytes: &mut [u8], mut place: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let read = std::os::windows::fs::FileExt::seek_read(file, bytes, place)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes = &mut bytes[read..];
        place += read as u64;
    }
    Ok(())
}

#[cfg(windows)]
fn write_at(file: &File, mut bytes: &[u8], mut place: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = std::os::windows::fs::FileExt::seek_write(file, bytes, place)?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        bytes = &bytes[written..];
        place += written as u64;
    }
    Ok(())
}

const PAGE: usize = 4096;
const SLOT: usize = 256;
const SLOT_HEAD: usize = 12;
const MAGIC: &[u8; 8] = b"jwident1";
const HEADER: usize = 4 + MAGIC.len() + 16;
const NOTE_AT: u64 = 1024;
const NOTE_HEAD: usize = 6;
const NOTE: usize = 256;
const SAMPLE: u64 = 64;
