use std::sync::Arc;

use bytes::Bytes;
use jetwash::store::Page;

/// A block's events in one format, in the block's order, or batches of them.
#[derive(Clone)]
pub(crate) struct Events(Source);

#[derive(Clone)]
enum Source {
    /// As the log has them.
    Log(Page),
    /// As the recoder made them.
    Made(Arc<Made>),
    /// Lines of the log, each of which becomes a message only when it is written.
    Lines(Page),
}

/// Payloads that were made one after the other, in one piece of memory.
#[derive(Debug, Default)]
pub(crate) struct Made {
    bytes: Bytes,
    /// The end of each payload.
    ends: Vec<u32>,
}

impl Events {
    /// Lines from which the encoder makes messages.
    pub(crate) const fn of_lines(page: Page) -> Self {
        Self(Source::Lines(page))
    }

    /// Whether [`get`](Self::get) returns lines, and not yet what is sent.
    pub(crate) const fn are_lines(&self) -> bool {
        matches!(self.0, Source::Lines(_))
    }

    /// The event at an index of the block, or the batch of that number. It is empty if the event
    /// does not exist in this format.
    #[inline]
    pub(crate) fn get(&self, index: usize) -> Option<&[u8]> {
        match &self.0 {
            Source::Log(page) | Source::Lines(page) => page.get(index),
            Source::Made(made) => made.get(index),
        }
    }
}

impl From<Page> for Events {
    fn from(page: Page) -> Self {
        Self(Source::Log(page))
    }
}

impl From<Arc<Made>> for Events {
    fn from(made: Arc<Made>) -> Self {
        Self(Source::Made(made))
    }
}

impl Made {
    /// `ends` are the ends of the payloads in `bytes`, in ascending order.
    pub(crate) fn new(mut bytes: Vec<u8>, ends: Vec<u32>) -> Self {
        debug_assert!(ends.is_sorted(), "payloads follow each other");
        debug_assert_eq!(
            ends.last().map_or(0, |end| *end as usize),
            bytes.len(),
            "payloads fill the memory"
        );
        bytes.shrink_to_fit();
        Self {
            bytes: bytes.into(),
            ends,
        }
    }

    pub(crate) fn get(&self, index: usize) -> Option<&[u8]> {
        let start = match index.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => 0,
        };
        self.bytes
            .get(start as usize..*self.ends.get(index)? as usize)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.ends.len()).filter_map(|index| self.get(index))
    }

    /// The bytes of all payloads.
    pub(crate) const fn size(&self) -> usize {
        self.bytes.len()
    }
}
