use std::sync::Arc;

use jetwash_event::Micros;

use super::commit_parts::CommitParts;
use super::page::range;
use super::table::StringTable;
use super::verdicts::Verdicts;
use crate::event::{EventKind, EventMeta};
use crate::seq::Seq;

/// A block's events without their payload, a column for each property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Index {
    pub(crate) first_seq: Seq,
    pub(crate) encoding: Encoding,
    pub(crate) times: Vec<Micros>,
    pub(crate) kinds: Vec<EventKind>,
    pub(crate) did_indexes: Vec<u16>,
    pub(crate) collection_indexes: Vec<u16>,
    /// Empty if all events have the first source.
    pub(crate) source_indexes: Vec<u16>,
    pub(crate) commit_parts: CommitParts,
    pub(crate) verdicts: Verdicts,
    pub(crate) json_ends: Arc<[u32]>,
    /// Empty unless the encoding is [`Encoding::Compressed`].
    pub(crate) compressed_ends: Arc<[u32]>,
    pub(crate) dids: StringTable,
    pub(crate) collections: StringTable,
    /// Never empty.
    pub(crate) sources: StringTable,
    pub(crate) payload_len: u32,
    pub(crate) payload_crc: u32,
}

impl Index {
    /// Whether the columns belong together: an entry for each event, which names a string that there
    /// is, and ends that do not go back. Holds for all that is sealed and all that is read, whatever
    /// was stored: everything else relies on it.
    pub(super) fn is_consistent(&self) -> bool {
        let events = self.times.len();
        let fits = |column: &[u16], table: &StringTable| {
            column.len() == events && column.iter().all(|at| usize::from(*at) < table.len())
        };
        let compressed = match self.encoding {
            Encoding::Compressed { .. } => events,
            Encoding::Json | Encoding::PackedJson => 0,
        };
        events > 0
            && self.kinds.len() == events
            && fits(&self.did_indexes, &self.dids)
            && fits(&self.collection_indexes, &self.collections)
            && self.verdicts.fit(events)
            && !self.sources.is_empty()
            && (self.source_indexes.is_empty() || fits(&self.source_indexes, &self.sources))
            && self.json_ends.len() == events
            && self.json_ends.is_sorted()
            && self.compressed_ends.len() == compressed
            && self.compressed_ends.is_sorted()
    }

    /// The metadata of an event.
    #[inline]
    pub(crate) fn meta(&self, index: usize) -> Option<EventMeta<'_>> {
        let did = *self.did_indexes.get(index)?;
        let collection = *self.collection_indexes.get(index)?;
        let source = self.source_indexes.get(index).copied();
        let kind = *self.kinds.get(index)?;
        let is_operation = kind.operation().is_some();
        Some(EventMeta {
            seq: self.first_seq.plus(index as u64),
            time_us: *self.times.get(index)?,
            kind,
            did: self.dids.get(did as usize)?,
            collection: self.collections.get(collection as usize)?,
            commit: is_operation.then(|| self.commit_parts.get(index)),
            source: self.sources.get(source.unwrap_or(0) as usize)?,
            verdict: self.verdicts.get(index),
            json_len: range(&self.json_ends, index)?.len(),
        })
    }

    pub(crate) const fn next_seq(&self) -> Seq {
        self.first_seq.plus(self.times.len() as u64)
    }

    pub(crate) fn first_time(&self) -> Micros {
        debug_assert!(!self.times.is_empty(), "a block is never empty");
        self.times.first().copied().unwrap_or_default()
    }

    pub(crate) fn last_time(&self) -> Micros {
        debug_assert!(!self.times.is_empty(), "a block is never empty");
        self.times.last().copied().unwrap_or_default()
    }

    pub(crate) fn json_len(&self) -> usize {
        self.json_ends.last().map_or(0, |end| *end as usize)
    }

    /// The bytes of its columns.
    pub(super) fn memory(&self) -> usize {
        // Twice eight for the two strings' indexes, the kind, and the padding between allocations.
        self.times.len() * 16
            + self.source_indexes.len() * size_of::<u16>()
            + self.commit_parts.memory()
            + self.verdicts.memory()
            + self.sources.memory()
            + (self.json_ends.len() + self.compressed_ends.len()) * size_of::<u32>()
            + self.dids.memory()
            + self.collections.memory()
    }
}

/// The form of a block's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// The events' JSON, one directly after the other.
    Json,
    /// The same, compressed with zstd as a whole, without a dictionary.
    PackedJson,
    /// Each event compressed by itself, one directly after the other.
    Compressed { dictionary: u32 },
}

impl Encoding {
    /// Whether blocks of the two can become one.
    pub(crate) fn merges_with(self, other: Self) -> bool {
        let json = |encoding| matches!(encoding, Self::Json | Self::PackedJson);
        self == other || (json(self) && json(other))
    }
}
