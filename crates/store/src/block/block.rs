use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use bytes::Bytes;
use jetwash_event::{Facts, Micros};

use super::cache::Cache;
use super::damage::Damage;
use super::dictionaries::Dictionaries;
use super::index::{Encoding, Index};
use super::page::Page;
use super::table::StringTable;
use super::{format, unpack};
use crate::backend::{BlockKey, Bucket, BucketError};
use crate::error::StoreError;
use crate::event::{EventKind, EventMeta};
use crate::seq::Seq;

/// A few hundred events that follow each other, which the ring stores, caches and hands out as one.
///
/// The index, that is times, kinds, DIDs and collections, is always there. [`Block::compressed`] and
/// [`Block::json`] are loaded when first asked for, and then shared by all holders of the block.
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
/// let block = run.block();
/// assert_eq!((block.first_seq(), block.next_seq(), block.len()), (Seq::FIRST, Seq::new(2), 1));
/// assert_eq!(block.collection_table().get(0), Some("app.bsky.feed.post"));
/// assert_eq!(block.json()?.get(0), Some(&b"{}"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Block {
    index: Index,
    compressed: OnceLock<Page>,
    json: OnceLock<Page>,
    facts: OnceLock<Box<[OnceLock<Facts>]>>,
    /// The same with hashtags, alt texts and links, for filters that ask for them.
    detailed_facts: OnceLock<Box<[OnceLock<Facts>]>>,
    /// The number of events that [`Block::json_of`] unpacked alone.
    picked: AtomicUsize,
    /// Held while a page is made, so that it is made once.
    making: Mutex<()>,
    cold: Option<Cold>,
    dictionaries: Arc<Dictionaries>,
}

impl Block {
    /// Whether work on it may block. Only in a ring on a disk that a test simulates it may not.
    #[doc(hidden)]
    #[must_use]
    pub fn may_block(&self) -> bool {
        self.dictionaries.may_block()
    }

    /// The position of the first event.
    #[must_use]
    #[inline]
    pub const fn first_seq(&self) -> Seq {
        self.index.first_seq
    }

    /// The position after the last event.
    #[must_use]
    #[inline]
    pub const fn next_seq(&self) -> Seq {
        self.index.next_seq()
    }

    /// The number of events, never 0.
    #[must_use]
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "a block is never empty")]
    pub const fn len(&self) -> usize {
        self.index.times.len()
    }

    /// The metadata of an event, by its index in the block.
    #[must_use]
    #[inline]
    pub fn meta(&self, index: usize) -> Option<EventMeta<'_>> {
        self.index.meta(index)
    }

    /// The events' times, strictly increasing.
    #[must_use]
    pub fn times(&self) -> &[Micros] {
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

    /// The index in the block of the first event at or after a time; [`Block::len`] if all are
    /// before it.
    #[must_use]
    pub fn index_at_time(&self, time_us: Micros) -> usize {
        self.index.times.partition_point(|time| *time < time_us)
    }

    /// The dictionary that the events are compressed with; `None` if they are not.
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
    /// Reads from the disk if the block came from there and they have not been asked for before.
    ///
    /// # Errors
    ///
    /// When the compressed events cannot be read, or fail their checksum.
    pub fn compressed(&self) -> Result<Option<&Page>, StoreError> {
        if self.dictionary_id().is_some() && self.compressed.get().is_none() {
            self.load_compressed(Keep::ForAll)?;
            debug_assert!(self.compressed.get().is_some(), "it was loaded to be kept");
        }
        Ok(self.compressed.get())
    }

    /// The events as JSON.
    ///
    /// Reads from the disk and decompresses if the block came from there and it has not been asked for
    /// before.
    ///
    /// # Errors
    ///
    /// When the events cannot be read, fail their checksum, or do not decompress.
    pub fn json(&self) -> Result<&Page, StoreError> {
        if let Some(page) = self.json.get() {
            return Ok(page);
        }
        let _making = self.making();
        if let Some(page) = self.json.get() {
            return Ok(page);
        }
        let page = self.load_json(Wanted::All)?;
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
    /// As [`Block::json`]. Damage to other events may go unnoticed.
    pub fn json_of(&self, indexes: &[usize]) -> Result<Page, StoreError> {
        if self.dictionary_id().is_none() || self.has_json() || !self.is_few(indexes.len()) {
            return self.json().cloned();
        }
        self.load_json(Wanted::Some(indexes))
    }

    /// Loads what [`Block::json_of`] needs for up to `events` events, so that
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

    /// Whether [`Block::json_of`] answers from memory for `events` events, decompressing few at most.
    #[must_use]
    pub fn has_json_of(&self, events: usize) -> bool {
        self.has_json() || (self.compressed.get().is_some() && self.is_few(events))
    }

    /// Facts about the record of an event that filters by content ask for, by its index in the block.
    /// They are found in the record's JSON by the first call, and then shared by all holders of the
    /// block.
    ///
    /// Hashtags, alt texts and links are among them only `with_details`. `None` if the block has no
    /// such event.
    pub fn facts<'a>(
        &self,
        index: usize,
        with_details: bool,
        record: impl FnOnce() -> &'a str,
    ) -> Option<&Facts> {
        let facts = if with_details {
            &self.detailed_facts
        } else {
            &self.facts
        };
        let facts = facts.get_or_init(|| {
            // What is kept of a record is, nearly always, less than the record.
            let json = self.index.json_ends.last().map_or(0, |end| *end as usize);
            self.grown(json + self.len() * size_of::<OnceLock<Facts>>());
            (0..self.len()).map(|_| OnceLock::new()).collect()
        });
        let facts = facts.get(index)?;
        Some(facts.get_or_init(|| match with_details {
            true => Facts::of(record()),
            false => Facts::without_details(record()),
        }))
    }

    /// A block whose payload is in memory, as JSON, compressed, or both.
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
            detailed_facts: OnceLock::new(),
            picked: AtomicUsize::new(0),
            making: Mutex::new(()),
            cold: None,
            dictionaries,
            index,
        }
    }

    /// A block whose payload is read when it is asked for.
    pub(crate) const fn cold(index: Index, cold: Cold, dictionaries: Arc<Dictionaries>) -> Self {
        Self {
            index,
            compressed: OnceLock::new(),
            json: OnceLock::new(),
            facts: OnceLock::new(),
            detailed_facts: OnceLock::new(),
            picked: AtomicUsize::new(0),
            making: Mutex::new(()),
            cold: Some(cold),
            dictionaries,
        }
    }

    pub(crate) const fn index(&self) -> &Index {
        &self.index
    }

    /// The JSON if it is in memory.
    pub(crate) fn ready_json(&self) -> Option<&Page> {
        self.json.get()
    }

    /// The bytes that the block holds now.
    pub(crate) fn memory(&self) -> usize {
        let pages =
            self.compressed.get().map_or(0, Page::len) + self.json.get().map_or(0, Page::len);
        size_of::<Self>() + self.index.memory() + pages
    }

    /// Whether `events` events, and those that were asked for before, are few enough to be unpacked
    /// one by one.
    fn is_few(&self, events: usize) -> bool {
        let picked = self.picked.load(Ordering::Relaxed);
        picked.saturating_add(events) <= self.len() / FEW
    }

    /// Loads the compressed events.
    fn load_compressed(&self, keep: Keep) -> Result<Page, StoreError> {
        if let Some(page) = self.compressed.get() {
            return Ok(page.clone());
        }
        let ends = &self.index.compressed_ends;
        if keep == Keep::No {
            return Ok(Page::new(self.payload()?, ends));
        }
        let _making = self.making();
        if let Some(page) = self.compressed.get() {
            return Ok(page.clone());
        }
        let page = Page::new(self.payload()?, ends);
        self.grown(page.len());
        Ok(self.compressed.get_or_init(|| page).clone())
    }

    /// Loads the JSON of some or all events. Keeps none of it; [`Block::json`] does.
    fn load_json(&self, wanted: Wanted<'_>) -> Result<Page, StoreError> {
        let (index, dictionaries) = (&self.index, &*self.dictionaries);
        let unpacked = match (index.encoding, wanted) {
            (Encoding::Compressed { dictionary }, Wanted::Some(indexes)) => {
                let before = self.picked.fetch_add(indexes.len(), Ordering::Relaxed);
                // A lone reader that wants little must not push others out of the cache: the
                // compressed events are kept from when a second one comes.
                let keep = if before == 0 { Keep::No } else { Keep::ForAll };
                let compressed = self.load_compressed(keep)?;
                unpack::some(index, dictionaries, dictionary, &compressed, indexes)
            }
            (Encoding::Compressed { dictionary }, Wanted::All) => {
                // A reader of JSON has no use for compressed events: they are not kept for it. The
                // caller holds the lock that keeping them would take.
                let compressed = self.load_compressed(Keep::No)?;
                unpack::all(index, dictionaries, dictionary, &compressed)
            }
            (Encoding::PackedJson, _) => unpack::packed(index, &self.payload()?),
            (Encoding::Json, _) => unpack::plain(index, self.payload()?),
        };
        unpacked.map_err(|what| self.corrupt(what))
    }

    /// Reads the payload, and checks that it is what was written.
    fn payload(&self) -> Result<Bytes, StoreError> {
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

    /// Waits until no other call makes a page, so that each is made once.
    fn making(&self) -> MutexGuard<'_, ()> {
        self.making.lock().unwrap_or_else(PoisonError::into_inner)
    }

    const fn corrupt(&self, what: &'static str) -> StoreError {
        StoreError::Corrupt {
            first_seq: self.first_seq(),
            next_seq: self.next_seq(),
            what,
        }
    }

    /// Tells the cache that the block has grown, so that it drops others.
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

/// The place of a block's payload, if it is not in memory.
pub(crate) struct Cold {
    pub(crate) bucket: Arc<dyn Bucket>,
    pub(crate) key: BlockKey,
    /// Weak, as the cache holds the block.
    pub(crate) cache: Weak<Cache<Block>>,
}

/// Which events are unpacked.
enum Wanted<'a> {
    All,
    /// The events of these indexes, in increasing order.
    Some(&'a [usize]),
}

/// Whether what is loaded stays in the block.
#[derive(PartialEq, Eq)]
enum Keep {
    ForAll,
    No,
}

/// Unpacking up to one event in four alone costs less than unpacking all, and takes no memory from
/// others.
const FEW: usize = 4;
