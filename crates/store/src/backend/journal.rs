//! The engine's journals, looked through before the engine does: it refuses to open a database
//! with a batch in it that was torn by a power failure.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use xxhash_rust::xxh3::Xxh3;

/// Cuts off what follows the last whole batch of a journal. Returns how many bytes may have been whole
/// once: what a killed process was about to write does not count.
pub(super) fn cut_damage(folder: &Path) -> io::Result<u64> {
    let mut cut = 0;
    for path in journals(folder)? {
        let file = File::options().read(true).write(true).open(&path)?;
        let mut scan = Scan::new(file)?;
        let end = scan.read_all()?;
        let mut file = scan.input.into_inner();
        // The engine makes journals longer than they are: zeros are no damage.
        if end == scan.length || next_byte(&mut file, end)? == NEVER_WRITTEN {
            continue;
        }
        if has_end(&mut file, end)? {
            cut += scan.length - end;
        }
        file.set_len(end)?;
        file.sync_all()?;
    }
    Ok(cut)
}

/// Reads all that the journals hold, in the order in which it was written: keyspaces, keys, and values
/// unless the key was removed. Nothing behind damage is read.
pub(super) fn read_items(
    folder: &Path,
    mut take: impl FnMut(u64, &[u8], Option<Bytes>) -> fjall::Result<()>,
) -> fjall::Result<()> {
    for path in journals(folder)? {
        let mut scan = Scan::new(File::open(path)?)?;
        scan.items = Some(Vec::new());
        loop {
            match scan.batch() {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
                Err(error) => return Err(error.into()),
            }
            for (keyspace, key, value) in scan.items.iter_mut().flat_map(|items| items.drain(..)) {
                take(keyspace, &key, value)?;
            }
        }
    }
    Ok(())
}

/// Where the whole batches of a journal end.
pub(super) fn end_of_batches(file: File) -> io::Result<u64> {
    Scan::new(file)?.read_all()
}

type Item = (u64, Bytes, Option<Bytes>);

/// Reads one batch after the other.
struct Scan {
    input: BufReader<File>,
    position: u64,
    length: u64,
    /// The entries of the batch, if they are wanted.
    items: Option<Vec<Item>>,
}

impl Scan {
    fn new(file: File) -> io::Result<Self> {
        Ok(Self {
            length: file.metadata()?.len(),
            input: BufReader::with_capacity(1 << 16, file),
            position: 0,
            items: None,
        })
    }

    /// Reads all whole batches. Returns where they end.
    fn read_all(&mut self) -> io::Result<u64> {
        loop {
            let start = self.position;
            match self.batch() {
                Ok(true) => {}
                Ok(false) => return Ok(start),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(start),
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads a batch; `false` if what follows is not a whole batch.
    fn batch(&mut self) -> io::Result<bool> {
        let [START] = self.array()? else {
            return Ok(false);
        };
        let items = u32::from_le_bytes(self.array()?);
        let _seqno: [u8; 8] = self.array()?;
        let mut hasher = Xxh3::new();
        for _ in 0..items {
            if !self.item(&mut hasher)? {
                return Ok(false);
            }
        }
        let [END] = self.array()? else {
            return Ok(false);
        };
        let checksum = u64::from_le_bytes(self.array()?);
        Ok(self.array()? == TRAILER && checksum == hasher.digest())
    }

    fn item(&mut self, hasher: &mut Xxh3) -> io::Result<bool> {
        match self.hashed(hasher)? {
            [ITEM] => {}
            [CLEAR] => {
                let _keyspace: [u8; 8] = self.hashed(hasher)?;
                return Ok(true);
            }
            _ => return Ok(false),
        }
        let [value_type, compression] = self.hashed(hasher)?;
        let keyspace = u64::from_le_bytes(self.hashed(hasher)?);
        let key = u16::from_le_bytes(self.hashed(hasher)?);
        let unpacked = u32::from_le_bytes(self.hashed(hasher)?);
        let value = u32::from_le_bytes(self.hashed(hasher)?);
        let length = u64::from(key) + u64::from(value);
        let left = self.length - self.position;
        // Lengths are held against the file before memory is taken for them.
        let is_plausible = compression == 0 && unpacked == value && length <= left;
        if is_plausible && self.items.is_some() {
            let key = self.bytes(key.into(), hasher)?;
            let value = self.bytes(value as usize, hasher)?;
            let value = (value_type == VALUE).then_some(value);
            self.items
                .get_or_insert_default()
                .push((keyspace, key, value));
        } else if is_plausible {
            self.skip(length, hasher)?;
        }
        Ok(is_plausible)
    }

    fn bytes(&mut self, length: usize, hasher: &mut Xxh3) -> io::Result<Bytes> {
        let mut bytes = vec![0; length];
        self.input.read_exact(&mut bytes)?;
        hasher.update(&bytes);
        self.position += length as u64;
        Ok(bytes.into())
    }

    fn hashed<const N: usize>(&mut self, hasher: &mut Xxh3) -> io::Result<[u8; N]> {
        let bytes = self.array()?;
        hasher.update(&bytes);
        Ok(bytes)
    }

    fn skip(&mut self, length: u64, hasher: &mut Xxh3) -> io::Result<()> {
        let mut left = length;
        let mut chunk = [0; 4096];
        while left > 0 {
            let count = left.min(chunk.len() as u64) as usize;
            self.input.read_exact(&mut chunk[..count])?;
            hasher.update(&chunk[..count]);
            left -= count as u64;
        }
        self.position += length;
        Ok(())
    }

    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.input.read_exact(&mut bytes)?;
        self.position += N as u64;
        Ok(bytes)
    }
}

const NEVER_WRITTEN: u8 = 0;
const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
/// The type of an item that is not a removal.
const VALUE: u8 = 0;
const TRAILER: [u8; 4] = *b"FJL\x03";

/// The journals, oldest first.
pub(super) fn journals(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut journals = Vec::new();
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(journals),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "jnl") {
            journals.push(path);
        }
    }
    // The name is a number.
    journals.sort_by_key(|path| (path.as_os_str().len(), path.clone()));
    Ok(journals)
}

fn next_byte(file: &mut File, at: u64) -> io::Result<u8> {
    let mut byte = [0];
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(&mut byte)?;
    Ok(byte[0])
}

/// Whether any batch was ended from a place on. A process that is killed leaves one begun.
fn has_end(file: &mut File, from: u64) -> io::Result<bool> {
    file.seek(SeekFrom::Start(from))?;
    let mut input = BufReader::with_capacity(1 << 16, file);
    let mut last = [0; 4];
    let mut chunk = [0; 4096];
    loop {
        let count = input.read(&mut chunk)?;
        if count == 0 {
            return Ok(false);
        }
        for byte in &chunk[..count] {
            last = [last[1], last[2], last[3], *byte];
            if last == TRAILER {
                return Ok(true);
            }
        }
    }
}
