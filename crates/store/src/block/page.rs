use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

/// One form of a block's events, all in one piece of memory.
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
/// let Read::Events(run) = store.read(Seq::FIRST)? else { panic!("nothing there") };
/// let page = run.block().json()?;
/// assert_eq!(page.get(0), Some(&b"{}"[..]));
/// assert_eq!((page.bytes().len(), page.ends()), (2, &[2][..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Page {
    bytes: Bytes,
    ends: Arc<[u32]>,
}

impl Page {
    /// The event at `index`.
    #[must_use]
    #[inline]
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        self.bytes.get(range(&self.ends, index)?)
    }

    /// The event at `index`, sharing the memory of the page.
    #[must_use]
    pub fn slice(&self, index: usize) -> Option<Bytes> {
        let range = range(&self.ends, index)?;
        (range.end <= self.bytes.len()).then(|| self.bytes.slice(range))
    }

    /// All events, one directly after the other.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// For each event, the offset of its end in [`Page::bytes`].
    #[must_use]
    pub fn ends(&self) -> &[u32] {
        &self.ends
    }

    pub(super) fn new(bytes: Bytes, ends: &Arc<[u32]>) -> Self {
        Self {
            bytes,
            ends: Arc::clone(ends),
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.bytes.len()
    }
}

impl fmt::Debug for Page {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Page")
            .field("events", &self.ends.len())
            .field("bytes", &self.bytes.len())
            .finish()
    }
}

/// The place of an entry, given the ends of all of them.
#[inline]
pub(super) fn range(ends: &[u32], index: usize) -> Option<std::ops::Range<usize>> {
    let end = *ends.get(index)? as usize;
    let start = match index {
        0 => 0,
        _ => *ends.get(index - 1)? as usize,
    };
    (start <= end).then_some(start..end)
}
