use jetwash_event::Micros;

use crate::seq::Seq;

use super::store::Store;

impl Store {
    /// The bounds of the ring now. Reads nothing from the disk.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        let view = self.view();
        let oldest_time_us = view.oldest_time();
        Bounds {
            oldest_seq: view.oldest_seq(),
            next_seq: view.next_seq,
            oldest_time_us,
            newest_time_us: oldest_time_us.map(|_| view.last_time),
            lost: view.gap_len(),
            bytes: view.bytes(),
        }
    }
}

/// From where to where a ring has events.
///
/// # Examples
///
/// ```
/// use jetwash_store::{Location, Options, Seq, open};
///
/// let (_appender, store) = open(Location::Memory, Options::default())?;
/// let bounds = store.bounds();
/// assert_eq!((bounds.oldest_seq, bounds.next_seq), (Seq::FIRST, Seq::FIRST));
/// assert_eq!((bounds.events(), bounds.oldest_time_us), (0, None));
/// # Ok::<(), jetwash_store::OpenError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bounds {
    /// The position of the oldest event; in an empty ring, that of the next one.
    pub oldest_seq: Seq,
    /// The position of the next event.
    pub next_seq: Seq,
    /// The number of positions in between without an event, as a power failure took it. With them,
    /// the ring holds `next_seq - oldest_seq`.
    pub lost: u64,
    /// The time of the oldest event.
    pub oldest_time_us: Option<Micros>,
    /// The time of the newest event.
    pub newest_time_us: Option<Micros>,
    /// The bytes of all blocks, without the journal of the storage engine.
    pub bytes: u64,
}

impl Bounds {
    /// The number of events.
    #[must_use]
    pub const fn events(&self) -> u64 {
        self.next_seq.since(self.oldest_seq) - self.lost
    }
}
