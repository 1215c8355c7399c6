use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use bytes::Bytes;
use jetwash_dict::{DecompressError, Decompressor};
use jetwash_event::Facts;

use crate::backend::{BlockKey, Bucket, BucketError};
use crate::cache::Cache;
use crate::commit_parts::CommitParts;
use crate::dictionaries::Dictionaries;
use crate::error::StoreError;
use crate::event::{EventKind, EventMeta};
use crate::format::{self, Damage};
use crate::table::StringTable;

/// A few hundred events that follow each other: what the ring stores, caches and hands out.
///
/// The index, that is times, kinds, DIDs and collections, is always there. [`Block::compressed`] and
/// [`Block::json`] are loaded when first asked for, and then shared by all who hold the block.
pub struct Block {
    index: Index,
    compressed: OnceLock<Page>,
    json: OnceLock<Page>,
    facts: OnceLock<Box<[OnceLock<Facts>]>>,
    /// How many events were asked for by [`Block::json_of`] while there was no JSON.
    picked: AtomicUsize,
    /// Held while a page is made, so that it is made once.
    making: Mutex<()>,
    cold: Option<Cold>,
    dictionaries: Arc<Dictionaries>,
}

impl Block {
    /// The position of the first event.
    #[must_use]
    #[inline]
    pub const fn first_seq(&self) -> u64 {
        self.index.first_seq
    }

    /// The position after the last event.
    #[must_use]
    #[inline]
    pub const fn next_seq(&self) -> u64 {
        self.index.next_seq()
    }

    /// The number of events, never 0.
    #[must_use]
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "a block is never empty")]
    pub const fn len(&self) -> usize {
        self.index.times.len()
    }

    /// What the ring knows of an event, by its index in the block.
    #[must_use]
    #[inline]
    pub fn meta(&self, index: usize) -> Option<EventMeta<'_>> {
        let columns = &self.index;
        let did = *columns.did_indexes.get(index)?;
        let collection = *columns.collection_indexes.get(index)?;
        let source = columns.source_indexes.get(index).copied();
        let kind = *columns.kinds.get(index)?;
        let is_operation = kind.operation().is_some();
        Some(EventMeta {
            seq: columns.first_seq + index as u64,
            time_us: *columns.times.get(index)?,
            kind,
            did: columns.dids.get(did as usize)?,
            collection: columns.collections.get(collection as usize)?,
            commit: is_operation.then(|| columns.commit_parts.get(index)),
            source: columns.sources.get(source.unwrap_or_default() as usize)?,
            json_len: range(&columns.json_ends, index)?.len(),
        })
    }

    /// The events' times in microseconds, strictly increasing.
    #[must_use]
    pub fn times(&self) -> &[u64] {
        &self.index.times
    }

    /// The events' kinds.
    #[must_use]
    pub fn kinds(&self) -> &[EventKind] {
        &self.index.kinds
    }

    /// The distinct DIDs of the block.
    #[must_use]
    pub const fn did_table(&self) -> &StringTable {
        &self.index.dids
    }

    /// For each event, the index of its DID in [`Block::did_table`].
    #[must_use]
    pub fn did_indexes(&self) -> &[u16] {
        &self.index.did_indexes
    }

    /// The distinct collections of the block; the empty string stands for none.
    #[must_use]
    pub const fn collection_table(&self) -> &StringTable {
        &self.index.collections
    }

    /// For each event, the index of its collection in [`Block::collection_table`].
    #[must_use]
    pub fn collection_indexes(&self) -> &[u16] {
        &self.index.collection_indexes
    }

    /// The upstreams that the block's events came from.
    #[must_use]
    pub const fn source_table(&self) -> &StringTable {
        &self.index.sources
    }

    /// The index in the block of the first event at or after a time; [`Block::len`] if there is
    /// none.
    #[must_use]
    pub fn index_at_time(&self, time_us: u64) -> usize {
        self.index.times.partition_point(|time| *time < time_us)
    }

    /// The dictionary that [`Block::compressed`] were made with; `None` if the block is not compressed.
    #[must_use]
    pub fn dictionary_id(&self) -> Option<u32> {
        match self.index.encoding {
            Encoding::Compressed { dictionary } => Some(dictionary),
            Encoding::Json | Encoding::PackedJson => None,
        }
    }

    /// The events compressed with zstd, each by itself, made with the dictionary
    /// [`Block::dictionary_id`]; `None` if they were pushed uncompressed.
    ///
    /// Reads from the disk if the block came from there and nobody has asked before.
    ///
    /// # Errors
    ///
    /// When the compressed events cannot be read, or fail their checksum.
    pub fn compressed(&self) -> Result<Option<&Page>, StoreError> {
        if self.dictionary_id().is_none() {
            return Ok(None);
        }
        if let Some(page) = self.compressed.get() {
            return Ok(Some(page));
        }
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        self.compressed_while_making().map(Some)
    }

    /// The events as JSON.
    ///
    /// Reads from the disk and decompresses if the block came from there and nobody has asked
    /// before.
    ///
    /// # Errors
    ///
    /// When the events cannot be read, fail their checksum, or do not decompress.
    pub fn json(&self) -> Result<&Page, StoreError> {
        if let Some(page) = self.json.get() {
            return Ok(page);
        }
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(page) = self.json.get() {
            return Ok(page);
        }
        let page = self.make_json()?;
        self.grown(page.len());
        Ok(self.json.get_or_init(|| page))
    }

    /// The JSON of some of the events, given by their indexes in the block in increasing order: a
    /// page in which the other events may be empty.
    ///
    /// As long as few have been asked for, they alone are unpacked, and nothing is kept of them, so
    /// a filter that matches little costs little. From when it would have been cheaper to unpack
    /// all, this is [`Block::json`].
    ///
    /// # Errors
    ///
    /// As [`Block::json`]. What is wrong with other events may go unnoticed.
    pub fn json_of(&self, indexes: &[usize]) -> Result<Page, StoreError> {
        let Encoding::Compressed { dictionary } = self.index.encoding else {
            return self.json().cloned();
        };
        if self.has_json() || !self.is_few(indexes.len()) {
            return self.json().cloned();
        }
        let before = self.picked.fetch_add(indexes.len(), Ordering::Relaxed);
        // The compressed events are kept from when a second reader comes.
        let compressed = match self.compressed.get() {
            Some(page) => page.clone(),
            None if before == 0 => self.load_compressed()?,
            None => {
                let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
                self.compressed_while_making()?.clone()
            }
        };
        self.pick(dictionary, &compressed, indexes)
    }

    /// Loads what [`Block::json_of`] will need for so many events, so that
    /// [`Block::has_json_of`] holds for them.
    ///
    /// # Errors
    ///
    /// As [`Block::json`].
    pub fn prepare_json_of(&self, events: usize) -> Result<(), StoreError> {
        if self.dictionary_id().is_some() && self.is_few(events) {
            self.compressed().map(drop)
        } else {
            self.json().map(drop)
        }
    }

    /// Whether [`Block::compressed`] answers from memory.
    #[must_use]
    pub fn has_compressed(&self) -> bool {
        self.dictionary_id().is_none() || self.compressed.get().is_some()
    }

    /// Whether [`Block::json`] answers from memory, without decompressing.
    #[must_use]
    pub fn has_json(&self) -> bool {
        self.json.get().is_some()
    }

    /// Whether [`Block::json_of`] answers from memory for so many events, without decompressing
    /// many.
    #[must_use]
    pub fn has_json_of(&self, events: usize) -> bool {
        self.has_json() || (self.compressed.get().is_some() && self.is_few(events))
    }

    /// What filters by content ask about the record of an event, by its index in the block: found
    /// by the first who asks, from the record's JSON, and then shared by all who hold the block.
    ///
    /// `None` if the block has no such event.
    pub fn facts<'a>(&self, index: usize, record: impl FnOnce() -> &'a str) -> Option<&Facts> {
        let facts = self.facts.get_or_init(|| {
            // What is kept of a record is, nearly always, less than the record.
            let json = self.index.json_ends.last().map_or(0, |end| *end as usize);
            self.grown(json + self.len() * size_of::<OnceLock<Facts>>());
            (0..self.len()).map(|_| OnceLock::new()).collect()
        });
        let facts = facts.get(index)?;
        Some(facts.get_or_init(|| Facts::of(record())))
    }

    pub(crate) fn in_memory(
        index: Index,
        compressed: Option<Bytes>,
        json: Option<Bytes>,
        dictionaries: Arc<Dictionaries>,
    ) -> Self {
        let page = |bytes: Option<Bytes>, ends: &Arc<[u32]>| match bytes {
            Some(bytes) => OnceLock::from(Page::new(bytes, ends)),
            None => OnceLock::new(),
        };
        Self {
            compressed: page(compressed, &index.compressed_ends),
            json: page(json, &index.json_ends),
            facts: OnceLock::new(),
            picked: AtomicUsize::new(0),
            making: Mutex::new(()),
            cold: None,
            dictionaries,
            index,
        }
    }

    pub(crate) const fn cold(index: Index, cold: Cold, dictionaries: Arc<Dictionaries>) -> Self {
        Self {
            index,
            compressed: OnceLock::new(),
            json: OnceLock::new(),
            facts: OnceLock::new(),
            picked: AtomicUsize::new(0),
            making: Mutex::new(()),
            cold: Some(cold),
            dictionaries,
        }
    }

    pub(crate) const fn index(&self) -> &Index {
        &self.index
    }

    pub(crate) fn ready_json(&self) -> Option<&Page> {
        self.json.get()
    }

    /// The bytes that the block holds now.
    pub(crate) fn memory(&self) -> usize {
        let pages =
            self.compressed.get().map_or(0, Page::len) + self.json.get().map_or(0, Page::len);
        self.index.memory() + pages
    }

    fn compressed_while_making(&self) -> Result<&Page, StoreError> {
        if let Some(page) = self.compressed.get() {
            return Ok(page);
        }
        let page = self.load_compressed()?;
        self.grown(page.len());
        Ok(self.compressed.get_or_init(|| page))
    }

    fn load_compressed(&self) -> Result<Page, StoreError> {
        Ok(Page::new(self.load()?, &self.index.compressed_ends))
    }

    /// Whether so many events, and those that were asked for before, are few enough to be unpacked
    /// one by one.
    fn is_few(&self, events: usize) -> bool {
        let picked = self.picked.load(Ordering::Relaxed);
        picked.saturating_add(events) <= self.len() / FEW
    }

    fn pick(
        &self,
        dictionary: u32,
        compressed: &Page,
        indexes: &[usize],
    ) -> Result<Page, StoreError> {
        let events = indexes.iter().filter_map(|&index| {
            let json = range(&self.index.json_ends, index)?;
            Some((index, compressed.get(index)?, json.len()))
        });
        let mut ends = Vec::with_capacity(self.len());
        let mut json = Vec::new();
        let picked = self.dictionaries.with_decoder(dictionary, |decoder| {
            for (index, compressed, length) in events {
                if index < ends.len() {
                    continue;
                }
                ends.resize(index, json.len() as u32);
                let whole = json.len() + length;
                decoder.decompress(compressed, length, &mut json)?;
                if json.len() != whole {
                    return Err(DecompressError::Truncated);
                }
                ends.push(whole as u32);
            }
            Ok(())
        });
        picked.map_err(|what| self.corrupt(what))?;
        ends.resize(self.len(), json.len() as u32);
        Ok(Page::new(json.into(), &ends.into()))
    }

    fn make_json(&self) -> Result<Page, StoreError> {
        let ends = &self.index.json_ends;
        let length = ends.last().map_or(0, |end| *end as usize);
        let json = match self.index.encoding {
            Encoding::Json => self.load()?,
            Encoding::PackedJson => {
                let packed = self.load()?;
                let mut json = Vec::new();
                Decompressor::without_dictionary()
                    .decompress_all(&packed, length, &mut json)
                    .map_err(|_| self.corrupt("the JSON does not decompress"))?;
                Bytes::from(json)
            }
            Encoding::Compressed { dictionary } => {
                // Who reads JSON has no use for compressed events: they are not kept for it.
                let compressed = match self.compressed.get() {
                    Some(page) => page.clone(),
                    None => self.load_compressed()?,
                };
                let json = self.dictionaries.unpack(dictionary, &compressed, length);
                Bytes::from(json.map_err(|what| self.corrupt(what))?)
            }
        };
        if json.len() != length {
            return Err(self.corrupt("the JSON has another length than the index says"));
        }
        Ok(Page::new(json, ends))
    }

    fn load(&self) -> Result<Bytes, StoreError> {
        let Some(cold) = &self.cold else {
            return Err(self.corrupt("the block was made without its payload"));
        };
        let payload = cold
            .bucket
            .payload(&cold.key)
            .map_err(|error| match error {
                BucketError::Damaged => {
                    self.corrupt("the storage engine finds the payload changed")
                }
                BucketError::Failed(source) => StoreError::storage("read a block's events")(source),
            })?
            .ok_or_else(|| self.corrupt("the block's events are missing"))?;
        format::check_payload(&self.index, &payload).map_err(|Damage(what)| self.corrupt(what))?;
        Ok(payload)
    }

    const fn corrupt(&self, what: &'static str) -> StoreError {
        StoreError::Corrupt {
            first_seq: self.first_seq(),
            next_seq: self.next_seq(),
            what,
        }
    }

    fn grown(&self, bytes: usize) {
        if let Some(cache) = self.cold.as_ref().and_then(|cold| cold.cache.upgrade()) {
            cache.grow(self.first_seq(), bytes);
        }
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Block")
            .field("first_seq", &self.first_seq())
            .field("len", &self.len())
            .field("dictionary_id", &self.dictionary_id())
            .finish_non_exhaustive()
    }
}

/// One form of a block's events, all in one piece of memory.
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

    fn new(bytes: Bytes, ends: &Arc<[u32]>) -> Self {
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

/// What is known of a block's events without their payload, a column for each property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Index {
    pub(crate) first_seq: u64,
    pub(crate) encoding: Encoding,
    pub(crate) times: Vec<u64>,
    pub(crate) kinds: Vec<EventKind>,
    pub(crate) did_indexes: Vec<u16>,
    pub(crate) collection_indexes: Vec<u16>,
    /// Empty if all events have the first source.
    pub(crate) source_indexes: Vec<u16>,
    pub(crate) commit_parts: CommitParts,
    pub(crate) json_ends: Arc<[u32]>,
    /// Empty unless the encoding is `Frames`.
    pub(crate) compressed_ends: Arc<[u32]>,
    pub(crate) dids: StringTable,
    pub(crate) collections: StringTable,
    /// Never empty.
    pub(crate) sources: StringTable,
    pub(crate) payload_len: u32,
    pub(crate) payload_crc: u32,
}

impl Index {
    pub(crate) const fn next_seq(&self) -> u64 {
        self.first_seq + self.times.len() as u64
    }

    pub(crate) fn first_time(&self) -> u64 {
        self.times.first().copied().unwrap_or_default()
    }

    pub(crate) fn last_time(&self) -> u64 {
        self.times.last().copied().unwrap_or_default()
    }

    pub(crate) fn json_len(&self) -> usize {
        self.json_ends.last().map_or(0, |end| *end as usize)
    }

    fn memory(&self) -> usize {
        // Twice eight for the two strings' indexes, the kind, and the padding between allocations.
        self.times.len() * 16
            + self.source_indexes.len() * size_of::<u16>()
            + self.commit_parts.memory()
            + self.sources.memory()
            + (self.json_ends.len() + self.compressed_ends.len()) * size_of::<u32>()
            + self.dids.memory()
            + self.collections.memory()
            + size_of::<Block>()
    }
}

/// What a block's payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// The events' JSON, one directly after the other.
    Json,
    /// The same as one zstd frame without a dictionary.
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

/// Where a block's payload is, if not in memory.
pub(crate) struct Cold {
    pub(crate) bucket: Arc<dyn Bucket>,
    pub(crate) key: BlockKey,
    /// Weak, as the cache holds the block.
    pub(crate) cache: Weak<Cache>,
}

/// Until one in so many events of a block has been unpacked alone, that is better than to unpack
/// all: it costs less, and takes no memory from others.
const FEW: usize = 4;

fn range(ends: &[u32], index: usize) -> Option<std::ops::Range<usize>> {
    let end = *ends.get(index)? as usize;
    let start = match index {
        0 => 0,
        _ => *ends.get(index - 1)? as usize,
    };
    (start <= end).then_some(start..end)
}
