use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fjall::Keyspace;

/// Asks the engine to write out the buffer of a keyspace when it is full.
///
/// The engine does so itself at a size that is fixed when the keyspace is made, and then stalls
/// every writer while four buffers wait for the disk. Each buffer written out costs it several
/// syncs, so while more comes in than the disk takes, it is better to let one grow.
#[derive(Default)]
pub(super) struct Buffer {
    filled: AtomicU64,
}

impl Buffer {
    /// Notes what was written to the keyspace, and has the buffer written out if it is time.
    pub(super) fn add(&self, keyspace: &Keyspace, bytes: u64, full: u64) -> fjall::Result<()> {
        let filled = self.filled.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let is_busy = || keyspace.sealed_memtable_count() > 0;
        if filled < full || filled < full * LARGEST && is_busy() {
            return Ok(());
        }
        // The writer has to wait, or buffers would pile up. If the engine has failed, the next write
        // says so.
        let start = Instant::now();
        while is_busy() && start.elapsed() < LONGEST_WAIT {
            thread::sleep(SHORT_WAIT);
        }
        self.write_out(keyspace)
    }

    /// Asks the engine to write out what there is, in its own time. Its journals can be removed then,
    /// and the memory is free.
    pub(super) fn write_out(&self, keyspace: &Keyspace) -> fjall::Result<()> {
        if self.filled.swap(0, Ordering::Relaxed) > 0 {
            // Not in the engine's documentation, but in its tests and its public interface.
            keyspace.rotate_memtable()?;
        }
        Ok(())
    }

    /// Notes that the buffer holds something that was found in a journal.
    pub(super) fn recovered(&self) {
        self.filled.store(1, Ordering::Relaxed);
    }
}

/// A buffer grows up to this many times its usual size while the one before it is written out.
const LARGEST: u64 = 4;

const SHORT_WAIT: Duration = Duration::from_millis(1);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// The bytes of an entry beside its value.
pub(super) const ENTRY_BYTES: u64 = 100;

/// The size at which the engine itself writes a buffer out: above all that [`Buffer`] lets grow.
pub(super) const ENGINE_LIMIT: u64 = 1 << 32;
