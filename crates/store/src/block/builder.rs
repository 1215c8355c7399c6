use std::sync::Arc;

use bytes::Bytes;
use jetwash_event::Micros;

use super::block::Block;
use super::commit_parts::{CommitParts, CommitRun};
use super::dictionaries::Dictionaries;
use super::index::{Encoding, Index};
use super::page::Page;
use super::table::{Interner, StringTable};
use super::verdicts::Verdicts;
use crate::event::{EventKind, NewEvent};
use crate::seq::Seq;

/// A block in the making.
///
/// Emptied by [`BlockBuilder::take`] and then used again, as commits are small and many.
#[derive(Debug)]
pub(crate) struct BlockBuilder {
    first_seq: Seq,
    dictionary: Option<u32>,
    times: Vec<Micros>,
    kinds: Vec<EventKind>,
    did_indexes: Vec<u16>,
    collection_indexes: Vec<u16>,
    source_indexes: Vec<u16>,
    commit_parts: CommitParts,
    verdicts: Verdicts,
    json_ends: Vec<u32>,
    compressed_ends: Vec<u32>,
    dids: Interner,
    collections: Interner,
    sources: Interner,
    json: Vec<u8>,
    /// Some merged blocks have no JSON at hand; it is unpacked again if it is asked for.
    json_known: bool,
    compressed: Vec<u8>,
}

impl BlockBuilder {
    pub(crate) fn new() -> Self {
        Self {
            first_seq: Seq::FIRST,
            dictionary: None,
            times: Vec::new(),
            kinds: Vec::new(),
            did_indexes: Vec::new(),
            collection_indexes: Vec::new(),
            source_indexes: Vec::new(),
            commit_parts: CommitParts::default(),
            verdicts: Verdicts::default(),
            json_ends: Vec::new(),
            compressed_ends: Vec::new(),
            dids: Interner::default(),
            collections: Interner::default(),
            sources: Interner::default(),
            json: Vec::new(),
            json_known: true,
            compressed: Vec::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.times.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    pub(crate) fn json_len(&self) -> usize {
        self.json.len()
    }

    /// Whether an event in that form can be added: all events of a block have the same.
    pub(crate) fn accepts(&self, dictionary: Option<u32>) -> bool {
        self.is_empty() || self.dictionary == dictionary
    }

    /// Begins a block; the builder is empty.
    pub(crate) const fn start(&mut self, first_seq: Seq, dictionary: Option<u32>) {
        self.first_seq = first_seq;
        self.dictionary = dictionary;
    }

    pub(crate) fn push(&mut self, event: &NewEvent<'_>) {
        if event.kind.operation().is_some() {
            self.commit_parts.push(CommitRun {
                first: self.times.len() as u32,
                count: 1,
                part: event.commit,
            });
        }
        self.verdicts.extend(self.times.len(), 1, event.verdict);
        self.times.push(event.time_us);
        self.kinds.push(event.kind);
        self.did_indexes.push(self.dids.intern(event.did));
        let collection = self.collections.intern(event.collection);
        self.collection_indexes.push(collection);
        self.source_indexes.push(self.sources.intern(event.source));
        self.json.extend_from_slice(event.json);
        self.json_ends.push(self.json.len() as u32);
        if let Some(compressed) = event.compressed {
            self.compressed.extend_from_slice(compressed);
            self.compressed_ends.push(self.compressed.len() as u32);
        }
    }

    /// Ends the block; `None` if it has no events.
    pub(crate) fn take(&mut self, dictionaries: &Arc<Dictionaries>) -> Option<Block> {
        if self.is_empty() {
            return None;
        }
        let encoding = match self.dictionary {
            Some(dictionary) => Encoding::Compressed { dictionary },
            None => Encoding::Json,
        };
        // Copied where there is room to spare, so that the block takes no more memory than it needs,
        // and the builder keeps its room for the next one.
        let json = take_bytes(&mut self.json);
        let compressed = take_bytes(&mut self.compressed);
        let payload = if self.dictionary.is_some() {
            &compressed
        } else {
            &json
        };
        if self.sources.len() == 1 {
            self.source_indexes.clear();
        }
        let index = Index {
            first_seq: self.first_seq,
            encoding,
            times: take(&mut self.times),
            kinds: take(&mut self.kinds),
            did_indexes: take(&mut self.did_indexes),
            collection_indexes: take(&mut self.collection_indexes),
            source_indexes: take(&mut self.source_indexes),
            commit_parts: std::mem::take(&mut self.commit_parts),
            verdicts: self.verdicts.take(),
            json_ends: take_shared(&mut self.json_ends),
            compressed_ends: take_shared(&mut self.compressed_ends),
            dids: self.dids.take(),
            collections: self.collections.take(),
            sources: self.sources.take(),
            payload_len: payload.len() as u32,
            payload_crc: crc32fast::hash(payload),
        };
        debug_assert!(index.is_consistent(), "columns that do not belong together");
        debug_assert!(
            index.times.is_sorted_by(|before, after| before < after),
            "times strictly increase in a block"
        );
        let json = std::mem::replace(&mut self.json_known, true).then_some(json);
        let compressed = self.dictionary.map(|_| compressed);
        Some(Block::in_memory(
            index,
            compressed,
            json,
            Arc::clone(dictionaries),
        ))
    }

    /// Makes one block of several that follow each other, have the same form and are in memory.
    /// `None` if there are no events.
    pub(crate) fn merge(
        &mut self,
        blocks: &[Arc<Block>],
        dictionaries: &Arc<Dictionaries>,
    ) -> Option<Block> {
        let first = blocks.first()?;
        debug_assert!(
            blocks
                .windows(2)
                .all(|pair| pair[0].next_seq() == pair[1].first_seq()),
            "only blocks that follow each other are merged"
        );
        self.start(first.first_seq(), first.dictionary_id());
        self.json_known = blocks.iter().all(|block| block.has_json());
        self.make_room(blocks);
        for block in blocks {
            self.append(block);
        }
        self.take(dictionaries)
    }

    /// Makes room for the payloads of some blocks, and no more.
    fn make_room(&mut self, blocks: &[Arc<Block>]) {
        let bytes = |page: &Page| page.bytes().len();
        if self.json_known {
            let pages = blocks.iter().filter_map(|block| block.ready_json());
            self.json.reserve_exact(pages.map(bytes).sum());
        }
        let pages = blocks.iter().filter_map(|block| block.compressed().ok()?);
        self.compressed.reserve_exact(pages.map(bytes).sum());
    }

    fn append(&mut self, block: &Block) {
        let index = block.index();
        self.commit_parts
            .append(self.times.len(), &index.commit_parts);
        self.verdicts
            .append(self.times.len(), block.len(), &index.verdicts);
        self.times.extend_from_slice(&index.times);
        self.kinds.extend_from_slice(&index.kinds);
        let map = |interner: &mut Interner, table: &StringTable| -> Vec<u16> {
            table.iter().map(|string| interner.intern(string)).collect()
        };
        let dids = map(&mut self.dids, &index.dids);
        let collections = map(&mut self.collections, &index.collections);
        let sources = map(&mut self.sources, &index.sources);
        let translate = |indexes: &[u16], map: &[u16], into: &mut Vec<u16>| {
            // Every index has been held against its table when the block was sealed or read.
            debug_assert!(indexes.iter().all(|index| usize::from(*index) < map.len()));
            let new = indexes.iter().map(|index| map.get(*index as usize));
            into.extend(new.map(|index| index.copied().unwrap_or_default()));
        };
        translate(&index.did_indexes, &dids, &mut self.did_indexes);
        translate(
            &index.collection_indexes,
            &collections,
            &mut self.collection_indexes,
        );
        if index.source_indexes.is_empty() {
            debug_assert_eq!(sources.len(), 1, "without indexes there is one source");
            let only = sources.first().copied().unwrap_or_default();
            self.source_indexes.resize(self.times.len(), only);
        } else {
            translate(&index.source_indexes, &sources, &mut self.source_indexes);
        }
        let base = self.json_ends.last().copied().unwrap_or(0);
        self.json_ends
            .extend(index.json_ends.iter().map(|end| base + end));
        if self.json_known
            && let Some(page) = block.ready_json()
        {
            self.json.extend_from_slice(page.bytes());
        }
        // Pieces of the tail are in memory, where nothing can fail.
        debug_assert!(block.has_compressed(), "only blocks in memory are merged");
        if let Ok(Some(page)) = block.compressed() {
            self.append_compressed(page);
        }
    }

    fn append_compressed(&mut self, page: &Page) {
        let base = self.compressed.len() as u32;
        self.compressed.extend_from_slice(page.bytes());
        self.compressed_ends
            .extend(page.ends().iter().map(|end| base + end));
    }
}

fn take<T: Copy>(column: &mut Vec<T>) -> Vec<T> {
    let taken = column.as_slice().to_vec();
    column.clear();
    taken
}

fn take_shared(ends: &mut Vec<u32>) -> Arc<[u32]> {
    let taken = Arc::from(ends.as_slice());
    ends.clear();
    taken
}

fn take_bytes(bytes: &mut Vec<u8>) -> Bytes {
    // As after a merge, which is over then, and the next far away.
    if bytes.len() == bytes.capacity() {
        return Bytes::from(std::mem::take(bytes));
    }
    let taken = Bytes::copy_from_slice(bytes);
    bytes.clear();
    bytes.shrink_to(KEPT);
    taken
}

/// The room that a builder keeps: more than nearly all commits need, and a part of what a whole
/// block does, which comes in between two commits only while much is caught up on.
const KEPT: usize = 128 << 10;
