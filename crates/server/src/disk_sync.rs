//! How long a disk takes to have what is written.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// Writes a page to a new file several times, and returns how long it took each time until it was on
/// the disk, in order of duration. The file is removed.
pub(crate) fn times(folder: &Path) -> io::Result<Vec<Duration>> {
    let path = folder.join(format!(".jetwash-sync-{}", std::process::id()));
    let mut file = File::options().write(true).create_new(true).open(&path)?;
    let mut times = Vec::with_capacity(SYNCS);
    let mut sync = || {
        file.write_all(&[1; 4096])?;
        let start = Instant::now();
        file.sync_data()?;
        times.push(start.elapsed());
        io::Result::Ok(())
    };
    let written = (0..SYNCS).try_for_each(|_| sync());
    let removed = fs::remove_file(&path);
    written.and(removed)?;
    times.sort_unstable();
    Ok(times)
}

const SYNCS: usize = 20;
