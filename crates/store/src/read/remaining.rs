use jetwash_event::Micros;

use super::store::Store;
use crate::ring::View;
use crate::seq::Seq;

impl Store {
    /// Measures what the ring holds from a position on: how far a reader there is behind. Reads
    /// nothing from the disk.
    ///
    /// # Examples
    ///
    /// ```
    /// use jetwash_store::{Location, Options, Seq, open};
    ///
    /// let (_appender, store) = open(Location::Memory, Options::default())?;
    /// assert_eq!(store.remaining(Seq::FIRST).events, 0);
    /// # Ok::<(), jetwash_store::OpenError>(())
    /// ```
    #[must_use]
    pub fn remaining(&self, from: Seq) -> Remaining {
        let view = self.view();
        let from = from.max(view.oldest_seq());
        if from >= view.next_seq {
            return Remaining::default();
        }
        Remaining {
            events: view.next_seq.since(from),
            bytes: bytes_from(&view, from),
            first_time_us: first_time(&view, from),
        }
    }
}

/// The events that a ring holds from a position on.
///
/// # Examples
///
/// ```
/// # use jetwash_store::{CommitPart, EventKind, Location, Micros, NewEvent, Options, Read, Seq, open};
/// # let (mut appender, store) = open(Location::Memory, Options::default())?;
/// # appender.push(&NewEvent {
/// #     kind: EventKind::Create,
/// #     did: "did:plc:z72i7hdynmk6r22z27h6tvur",
/// #     collection: "app.bsky.feed.post",
/// #     commit: CommitPart::WHOLE,
/// #     source: "wss://relay.example",
/// #     verdict: 0,
/// #     time_us: Micros::new(1_700_000_000_000_000),
/// #     json: b"{}",
/// #     compressed: None,
/// # })?;
/// # appender.commit()?;
/// let remaining = store.remaining(Seq::FIRST);
/// assert_eq!((remaining.events, remaining.first_time_us), (1, Some(Micros::new(1_700_000_000_000_000))));
/// assert_eq!(store.remaining(Seq::new(2)).events, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Remaining {
    /// The number of events.
    pub events: u64,
    /// Their bytes as they are stored. Of the block that the first event is in, a share by number.
    pub bytes: u64,
    /// The time of the first of them, if it is in memory, and otherwise that of
    /// the block it is in; `None` without an event.
    pub first_time_us: Option<Micros>,
}

fn bytes_from(view: &View, from: Seq) -> u64 {
    let mut bytes = 0;
    for piece in view.tail() {
        let whole = u64::from(piece.index().payload_len);
        bytes += share(whole, piece.first_seq(), piece.next_seq(), from);
    }
    // From the newest bucket back to the one that holds the position: those in between count whole.
    for bucket in view.buckets.iter().rev() {
        if bucket.first_seq >= from {
            bytes += bucket.bytes;
            continue;
        }
        if bucket.next_seq > from {
            let after = bucket
                .entries
                .partition_point(|entry| bucket.seq_of(entry) <= from);
            let first = after.saturating_sub(1);
            let ends = bucket.entries.iter().skip(first + 1);
            let ends = ends
                .map(|entry| bucket.seq_of(entry))
                .chain([bucket.next_seq]);
            for (entry, end) in bucket.entries.iter().skip(first).zip(ends) {
                bytes += share(u64::from(entry.bytes), bucket.seq_of(entry), end, from);
            }
        }
        break;
    }
    bytes
}

/// The part of a block's bytes that its events from a position on take, if all took the same.
fn share(bytes: u64, first: Seq, next: Seq, from: Seq) -> u64 {
    let events = next.since(first).max(1);
    let left = next.since(from.max(first));
    bytes * left / events
}

fn first_time(view: &View, from: Seq) -> Option<Micros> {
    if let Some(block) = view.hot_block(from) {
        let index = usize::try_from(from.since(block.first_seq())).ok()?;
        return block.times().get(index).copied();
    }
    view.cold_block(from).map(|place| place.key.first_time)
}
