//! The end of a machine, for the tests of all crates that keep a log.

pub use crate::backend::SimulatedDisk;

use std::path::Path;
use std::{fs, io};

/// Ends the process of a log as a power failure does, after which the log has all that was
/// committed. Drops `log`: the appender, and whatever else holds the folder.
///
/// # Errors
///
/// When the files of the log cannot be read or written.
pub fn fail_power(folder: &Path, log: impl Sized) -> io::Result<()> {
    let path = folder.join("reserved");
    // An orderly end would take back the positions that were reserved.
    let mut marks = fs::read(&path)?;
    drop(log);
    // Two marks, a page each: 24 bytes, the identifier of the machine's start, and a checksum.
    for mark in marks.chunks_mut(4096) {
        if let Some((mark, rest)) = mark.split_first_chunk_mut::<60>()
            && let Some(checksum) = rest.first_chunk_mut()
            && *checksum == crc32fast::hash(mark).to_le_bytes()
        {
            mark[24..].copy_from_slice(b"00000000-0000-0000-0000-00000000cafe");
            *checksum = crc32fast::hash(mark).to_le_bytes();
        }
    }
    fs::write(path, marks)
}
