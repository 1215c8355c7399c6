//! The manifest, which lists what must be there: a file beside the engine's own, replaced as a whole.
//!
//! The engine takes what it finds. Of a list of keyspaces that is gone it makes an empty one, and
//! removes what is not in it; and a journal that is gone held nothing, as far as it knows.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use crate::seq::Seq;

use bytes::Bytes;

use super::folder;
use super::state;

/// The parts of a ring, as of the last time that a bucket was made or dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Manifest {
    /// The number of the newest journal.
    pub(super) journal: u64,
    /// The engine's folders of keyspaces, with their names.
    pub(super) keyspaces: BTreeMap<u64, String>,
    /// The entries of the state, apart from the tail.
    pub(super) state: BTreeMap<Vec<u8>, Bytes>,
}

impl Manifest {
    /// Reads the manifest; `None` if it is missing or damaged.
    pub(super) fn read(path: &Path) -> io::Result<Option<Self>> {
        match fs::read(path.join(NAME)) {
            Ok(bytes) => Ok(decode(&bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Replaces the manifest; the new one is on the disk when this returns.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        // What it names must not be less safe than it is itself.
        folder::sync(path)?;
        let new = path.join(NEW);
        let mut file = File::create(&new)?;
        file.write_all(&encode(self))?;
        file.sync_all()?;
        fs::rename(&new, path.join(NAME))?;
        folder::sync(path)
    }

    /// The next position, by the state.
    pub(super) fn next_seq(&self) -> Seq {
        next_seq(&self.state)
    }
}

/// The next position, by the entries of a state.
pub(super) fn next_seq(state: &BTreeMap<Vec<u8>, Bytes>) -> Seq {
    let position = state.get(state::POSITION);
    let position = position.and_then(|value| state::decode_numbers::<2>(value));
    position.map_or(Seq::FIRST, |[next_seq, _]| Seq::new(next_seq))
}

pub(super) const NAME: &str = "manifest";
const NEW: &str = "manifest.new";
const MAGIC: [u8; 8] = *b"jetwash1";

fn encode(manifest: &Manifest) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&manifest.journal.to_le_bytes());
    out.extend_from_slice(&(manifest.keyspaces.len() as u32).to_le_bytes());
    for (id, name) in &manifest.keyspaces {
        out.extend_from_slice(&id.to_le_bytes());
        push(&mut out, name.as_bytes());
    }
    out.extend_from_slice(&(manifest.state.len() as u32).to_le_bytes());
    for (key, value) in &manifest.state {
        push(&mut out, key);
        push(&mut out, value);
    }
    let checksum = crc32fast::hash(&out);
    out.extend_from_slice(&checksum.to_le_bytes());
    out
}

fn push(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn decode(bytes: &[u8]) -> Option<Manifest> {
    let (body, checksum) = bytes.split_last_chunk()?;
    if crc32fast::hash(body) != u32::from_le_bytes(*checksum) {
        return None;
    }
    let mut input = Input(body.strip_prefix(&MAGIC)?);
    let mut manifest = Manifest {
        journal: u64::from_le_bytes(input.array()?),
        ..Manifest::default()
    };
    for _ in 0..u32::from_le_bytes(input.array()?) {
        let id = u64::from_le_bytes(input.array()?);
        let name = std::str::from_utf8(input.text()?).ok()?;
        manifest.keyspaces.insert(id, name.to_owned());
    }
    for _ in 0..u32::from_le_bytes(input.array()?) {
        let key = input.text()?.to_vec();
        let value = Bytes::copy_from_slice(input.text()?);
        manifest.state.insert(key, value);
    }
    input.0.is_empty().then_some(manifest)
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let length = u32::from_le_bytes(self.array()?) as usize;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_read_as_it_was_written_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Manifest::read(folder.path()).unwrap(), None);
        let manifest = Manifest {
            journal: 7,
            keyspaces: [(1, "state".to_owned()), (9, "bucket-1".to_owned())].into(),
            state: [(state::POSITION.to_vec(), state::encode_numbers(&[77, 8]))].into(),
        };
        manifest.write(folder.path()).unwrap();
        assert_eq!(manifest.next_seq(), Seq::new(77));
        assert_eq!(Manifest::read(folder.path()).unwrap(), Some(manifest));
        let path = folder.path().join(NAME);
        let bytes = fs::read(&path).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 4;
            fs::write(&path, &changed).unwrap();
            assert_eq!(Manifest::read(folder.path()).unwrap(), None, "at {at}");
            fs::write(&path, &bytes[..at]).unwrap();
            assert_eq!(Manifest::read(folder.path()).unwrap(), None, "{at} bytes");
        }
    }
}
