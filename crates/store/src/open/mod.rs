//! Opens a ring: makes an appender and a store of what its backend holds.
//!
//! - here, [`open()`](crate::open()): in memory or on disk;
//! - [`recover`] puts everything together, from the [`state`], the [`buckets`] and the [`tail`];
//! - [`cursors`] and [`gaps`] mend what a power failure or damage has left;
//! - [`copy`] opens a copy, beside a program that has the ring open;
//! - [`repair`] makes a ring that cannot be opened into one that can, and writes a [`report`].

mod buckets;
mod copy;
mod cursors;
mod gaps;
mod recover;
mod repair;
mod report;
mod state;
mod tail;

use std::path::PathBuf;

use recover::{How, recover};

use crate::append::Appender;
use crate::backend::{self, DiskBackend, MemoryBackend};
use crate::error::OpenError;
use crate::options::{Location, Options};
use crate::read::Store;

pub use copy::StoreCopy;
pub use repair::repair;
pub use report::RepairReport;

/// Opens a ring, making it if it does not exist: the side that writes and the side that reads.
///
/// A folder can be open once at a time. It is closed when the appender and every clone of the store
/// are dropped. A block that is kept for longer has what was loaded of it until then, and no more.
///
/// # Errors
///
/// When an option is out of its range, the folder cannot be used or is open elsewhere, or what is
/// in it was written by a newer version or is damaged.
///
/// # Examples
///
/// ```
/// use jetwash_store::{Location, Options, Seq, open};
///
/// let (appender, store) = open(Location::Memory, Options::default())?;
/// assert_eq!(appender.next_seq(), Seq::FIRST);
/// assert_eq!(store.bounds().events(), 0);
/// # Ok::<(), jetwash_store::OpenError>(())
/// ```
pub fn open(location: Location, options: Options) -> Result<(Appender, Store), OpenError> {
    options.check()?;
    match location {
        Location::Memory => {
            let opened = MemoryBackend::open();
            recover(opened, PathBuf::new(), options, How::AsItIs)
        }
        Location::Disk(path) => open_disk(path, options, How::AsItIs),
        #[cfg(feature = "crash-points")]
        Location::Simulated(disk) => {
            let (appender, store) = recover(disk.open()?, PathBuf::new(), options, How::AsItIs)?;
            store.ring().dictionaries.never_block();
            Ok((appender, store))
        }
    }
}

fn open_disk(path: PathBuf, options: Options, how: How) -> Result<(Appender, Store), OpenError> {
    DiskBackend::open(&path, &options)
        .and_then(|opened| recover(opened, path.clone(), options, how))
        .map_err(|error| backend::diagnose(&path, error))
}
