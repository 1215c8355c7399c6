//! A part of a block, as a block of its own.

use std::ops::Range;
use std::sync::Arc;

use super::commit_parts::{CommitParts, CommitRun};
use super::index::{Encoding, Index};
use super::page::range;
use super::table::{Interner, StringTable};
use super::verdicts::Verdicts;

impl Index {
    /// The index of some of its events, with the payload that they have by themselves. There is at
    /// least one of them.
    pub(crate) fn slice(&self, events: Range<usize>, encoding: Encoding, payload: &[u8]) -> Self {
        debug_assert!(!events.is_empty() && events.end <= self.times.len());
        let (mut commit_parts, mut verdicts) = (CommitParts::default(), Verdicts::default());
        for (at, event) in events.clone().enumerate() {
            let is_operation = self
                .kinds
                .get(event)
                .is_some_and(|kind| kind.operation().is_some());
            if is_operation {
                commit_parts.push(CommitRun {
                    first: at as u32,
                    count: 1,
                    part: self.commit_parts.get(event),
                });
            }
            verdicts.extend(at, 1, self.verdicts.get(event));
        }
        let (did_indexes, dids) = strings(&self.did_indexes, &self.dids, events.clone());
        let (collection_indexes, collections) =
            strings(&self.collection_indexes, &self.collections, events.clone());
        let (source_indexes, sources) = if self.source_indexes.is_empty() {
            (Vec::new(), self.sources.clone())
        } else {
            let (indexes, sources) = strings(&self.source_indexes, &self.sources, events.clone());
            let several = if sources.len() > 1 {
                indexes
            } else {
                Vec::new()
            };
            (several, sources)
        };
        let index = Self {
            first_seq: self.first_seq.plus(events.start as u64),
            encoding,
            times: part(&self.times, events.clone()),
            kinds: part(&self.kinds, events.clone()),
            did_indexes,
            collection_indexes,
            source_indexes,
            commit_parts,
            verdicts: verdicts.take(),
            json_ends: ends(&self.json_ends, events.clone()),
            compressed_ends: match encoding {
                Encoding::Compressed { .. } => ends(&self.compressed_ends, events),
                Encoding::Json | Encoding::PackedJson => Arc::from([]),
            },
            dids,
            collections,
            sources,
            payload_len: payload.len() as u32,
            payload_crc: crc32fast::hash(payload),
        };
        debug_assert!(index.is_consistent(), "columns that do not belong together");
        index
    }

    /// The bytes that an event's JSON takes, and those of its compressed form, 0 if it has none.
    pub(crate) fn lengths(&self, event: usize) -> (usize, usize) {
        let length = |ends: &[u32]| range(ends, event).map_or(0, |range| range.len());
        (length(&self.json_ends), length(&self.compressed_ends))
    }
}

fn part<T: Copy>(column: &[T], events: Range<usize>) -> Vec<T> {
    column.get(events).unwrap_or_default().to_vec()
}

fn ends(all: &[u32], events: Range<usize>) -> Arc<[u32]> {
    let before = events.start.checked_sub(1).and_then(|event| all.get(event));
    let base = before.copied().unwrap_or_default();
    let ends = all.get(events).unwrap_or_default();
    ends.iter().map(|end| end.saturating_sub(base)).collect()
}

/// A column of strings, with a table of those alone that occur in it.
fn strings(column: &[u16], table: &StringTable, events: Range<usize>) -> (Vec<u16>, StringTable) {
    let mut interner = Interner::default();
    let column = column.get(events).unwrap_or_default().iter();
    let indexes = column
        .map(|index| interner.intern(table.get(usize::from(*index)).unwrap_or_default()))
        .collect();
    (indexes, interner.take())
}
