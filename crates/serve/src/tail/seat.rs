use std::sync::{Arc, PoisonError};

use super::shard::{Member, Shard};
use super::sync::{Mutex, MutexGuard, Notify};
use crate::metrics::Delivered;
use crate::subscriber::outbound::Outbound;
use crate::subscriber::scratch::Scratch;
use crate::subscriber::socket::Socket;
use crate::tail::batch::Batch;

/// A subscriber's seat in a shard, where its task leaves the writing to the shard's.
pub(crate) struct Seat<W> {
    slot: Mutex<Slot<W>>,
    woken: Notify,
}

struct Slot<W> {
    outbound: Option<Box<Outbound<W>>>,
    /// Whether the subscriber waits for its own task.
    is_behind: bool,
}

impl<W> Seat<W> {
    /// Leaves the subscriber to the shard. It is returned if something has been announced that it
    /// has not got.
    pub(crate) fn put(
        &self,
        outbound: Box<Outbound<W>>,
        shard: &Shard,
    ) -> Option<Box<Outbound<W>>> {
        let mut slot = lock(&self.slot);
        // Under the lock: either this sees what is announced, or the shard comes by afterwards and
        // sees the subscriber.
        if shard.has_announced(outbound.next_seq()) {
            return Some(outbound);
        }
        debug_assert!(slot.outbound.is_none(), "a seat is for one subscriber");
        debug_assert!(outbound.is_empty(), "a shard never finishes a write");
        *slot = Slot {
            outbound: Some(outbound),
            is_behind: false,
        };
        None
    }

    /// Takes the subscriber back.
    pub(crate) fn take(&self) -> Option<Box<Outbound<W>>> {
        lock(&self.slot).outbound.take()
    }

    /// Waits until the subscriber needs its own task. It may have needed it before.
    pub(crate) async fn woken(&self) {
        self.woken.notified().await;
    }
}

impl<W> Default for Seat<W> {
    fn default() -> Self {
        let slot = Slot {
            outbound: None,
            is_behind: false,
        };
        Self {
            slot: Mutex::new(slot),
            woken: Notify::new(),
        }
    }
}

impl<W: Socket> Member for Seat<W> {
    fn deliver(&self, batches: &[Arc<Batch>], scratch: &mut Scratch) -> Delivered {
        let mut slot = lock(&self.slot);
        let Slot {
            outbound: Some(outbound),
            is_behind: is_behind @ false,
        } = &mut *slot
        else {
            return Delivered::default();
        };
        let (delivered, is_up_to_date) = outbound.deliver(batches, scratch);
        if !is_up_to_date {
            *is_behind = true;
            self.woken.notify_one();
        }
        delivered
    }

    fn wake(&self) {
        lock(&self.slot).is_behind = true;
        self.woken.notify_one();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing is left half done under this lock, so a poisoned one is as good as any.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
