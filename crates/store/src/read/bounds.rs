use super::store::Store;

impl Store {
    /// What the ring holds now.
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
            buckets: view.buckets.len(),
            hot_seq: view
                .hot
                .front()
                .map_or(view.next_seq, |(block, _)| block.first_seq()),
            hot_bytes: view.hot_bytes,
            cache_bytes: self.ring().cache.bytes(),
        }
    }
}

/// What a ring holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bounds {
    /// The position of the oldest event, or of the next one if there is none.
    pub oldest_seq: u64,
    /// The position of the next event.
    pub next_seq: u64,
    /// How many positions in between have no event, as a power failure took them. With them, the
    /// ring holds `next_seq - oldest_seq`.
    pub lost: u64,
    /// The time of the oldest event in microseconds.
    pub oldest_time_us: Option<u64>,
    /// The time of the newest event in microseconds.
    pub newest_time_us: Option<u64>,
    /// The bytes of all blocks, without the journal of the storage engine.
    pub bytes: u64,
    /// The number of buckets, one of which is dropped at a time.
    pub buckets: usize,
    /// The position of the oldest event that [`Store::read_hot`] can read.
    pub hot_seq: u64,
    /// The memory of the newest events.
    pub hot_bytes: usize,
    /// The memory of the blocks that were read from disk.
    pub cache_bytes: usize,
}

impl Bounds {
    /// The number of events.
    #[must_use]
    pub const fn events(&self) -> u64 {
        self.next_seq - self.oldest_seq - self.lost
    }
}
