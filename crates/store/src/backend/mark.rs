//! How far positions and times may have been given out: a file of its own, always synced.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use jetwash_event::Micros;

use crate::seq::Seq;

use super::folder;

/// Positions below `seq` and times up to `time_us` may have been seen by readers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reserved {
    pub(crate) seq: Seq,
    pub(crate) time_us: Micros,
}

impl Reserved {
    /// Whether all of the other is reserved as well.
    pub(crate) fn covers(self, other: Self) -> bool {
        self.seq >= other.seq && self.time_us >= other.time_us
    }
}

/// The file, which holds the last two marks, so that one is whole whenever the power fails.
pub(super) struct Mark {
    file: File,
    generation: u64,
    stored: Reserved,
    boot: [u8; BOOT],
}

impl Mark {
    /// Opens the mark of a store, or makes it; tells what was reserved if the machine may have
    /// been restarted since, and with it have forgotten what was not synced.
    pub(super) fn open(folder: &Path) -> io::Result<(Self, Option<Reserved>)> {
        let path = folder.join(NAME);
        let is_new = !path.try_exists()?;
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path)?;
        if is_new {
            file.write_all(&[0; 2 * SLOT])?;
            file.sync_all()?;
            folder::sync(folder)?;
        }
        // The greater generation counts, as slots are written in turn.
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let slots = bytes.chunks(SLOT).filter_map(decode);
        let newest = slots.max_by_key(|(generation, ..)| *generation);
        let boot = boot_id();
        let (generation, stored, then) = newest.unwrap_or(NONE);
        let restarted = then != boot || boot == [0; BOOT];
        let mark = Self {
            file,
            generation,
            stored,
            boot,
        };
        Ok((mark, restarted.then_some(stored)))
    }

    pub(super) const fn stored(&self) -> Reserved {
        self.stored
    }

    /// Stores a mark; it is on the disk when this returns.
    pub(super) fn set(&mut self, reserved: Reserved) -> io::Result<()> {
        let generation = self.generation + 1;
        let slot = SLOT as u64 * (generation % 2);
        self.file.seek(SeekFrom::Start(slot))?;
        self.file
            .write_all(&encode(generation, reserved, &self.boot))?;
        self.file.sync_data()?;
        (self.generation, self.stored) = (generation, reserved);
        Ok(())
    }

    /// Takes back what was reserved and not used.
    pub(super) fn release(&mut self, used: Reserved) -> io::Result<()> {
        if used.covers(self.stored) {
            return Ok(());
        }
        self.set(used)
    }
}

/// Reads the mark of a store; `None` if it is missing or damaged.
pub(super) fn stored(folder: &Path) -> io::Result<Option<Reserved>> {
    match fs::read(folder.join(NAME)) {
        Ok(bytes) => {
            let slots = bytes.chunks(SLOT).filter_map(decode);
            let newest = slots.max_by_key(|(generation, ..)| *generation);
            Ok(newest.map(|(_, stored, _)| stored))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) const NAME: &str = "reserved";
/// Each slot has a page of its own: a write that a power failure cuts short spoils only one.
const SLOT: usize = 4096;
const BOOT: usize = 36;
const MARK: usize = 24 + BOOT;

type Slot = (u64, Reserved, [u8; BOOT]);

const NONE: Slot = (
    0,
    Reserved {
        seq: Seq::new(0),
        time_us: Micros::EPOCH,
    },
    [0; BOOT],
);

fn encode(generation: u64, reserved: Reserved, boot: &[u8; BOOT]) -> [u8; MARK + 4] {
    let mut bytes = [0; MARK + 4];
    bytes[..8].copy_from_slice(&generation.to_le_bytes());
    bytes[8..16].copy_from_slice(&reserved.seq.get().to_le_bytes());
    bytes[16..24].copy_from_slice(&reserved.time_us.get().to_le_bytes());
    bytes[24..MARK].copy_from_slice(boot);
    let checksum = crc32fast::hash(&bytes[..MARK]);
    bytes[MARK..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

fn decode(slot: &[u8]) -> Option<Slot> {
    let (mark, rest) = slot.split_first_chunk::<MARK>()?;
    let checksum = rest.first_chunk()?;
    if crc32fast::hash(mark) != u32::from_le_bytes(*checksum) {
        return None;
    }
    let (generation, rest) = mark.split_first_chunk()?;
    let (seq, rest) = rest.split_first_chunk()?;
    let (time_us, boot) = rest.split_first_chunk()?;
    let reserved = Reserved {
        seq: Seq::new(u64::from_le_bytes(*seq)),
        time_us: Micros::new(u64::from_le_bytes(*time_us)),
    };
    let generation = u64::from_le_bytes(*generation);
    // What was never written is all zero, and not a mark.
    (generation > 0).then_some((generation, reserved, boot.try_into().ok()?))
}

/// Tells one start of the machine from the next; zeros where the system cannot say.
fn boot_id() -> [u8; BOOT] {
    let id = fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.first_chunk().copied().unwrap_or([0; BOOT])
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARKED: Reserved = Reserved {
        seq: Seq::new(70_000),
        time_us: Micros::new(1_700_000_000_000_000),
    };

    #[test]
    fn a_mark_counts_after_a_restart_only() {
        let folder = tempfile::tempdir().unwrap();
        let (mut mark, none) = Mark::open(folder.path()).unwrap();
        assert_eq!(none, Some(Reserved::default()));
        mark.set(MARKED).unwrap();
        if boot_id() != [0; BOOT] {
            assert_eq!(Mark::open(folder.path()).unwrap().1, None);
        }
        mark.boot = *b"00000000-0000-0000-0000-00000000cafe";
        mark.set(MARKED).unwrap();
        assert_eq!(Mark::open(folder.path()).unwrap().1, Some(MARKED));
    }

    #[test]
    fn a_mark_cut_short_leaves_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let (mut mark, _) = Mark::open(folder.path()).unwrap();
        mark.boot = [b'x'; BOOT];
        mark.set(MARKED).unwrap();
        let later = Reserved {
            seq: Seq::new(140_000),
            ..MARKED
        };
        mark.set(later).unwrap();
        let path = folder.path().join(NAME);
        let mut bytes = fs::read(&path).unwrap();
        bytes[30] ^= 1;
        fs::write(&path, bytes).unwrap();
        assert_eq!(Mark::open(folder.path()).unwrap().1, Some(MARKED));
    }
}
