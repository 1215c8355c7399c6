use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

/// The distinct strings of a block, in the order of their first use.
///
/// A filter looks at each of them once and then at the events' indexes into the table, instead of
/// comparing strings once per event.
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
/// let (block, wanted) = (run.block(), "did:plc:z72i7hdynmk6r22z27h6tvur");
/// let did = block.did_table().iter().position(|did| did == wanted);
/// let by_it = run.indexes().filter(|event| Some(block.did_indexes()[*event].into()) == did);
/// assert_eq!(by_it.count(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StringTable {
    text: String,
    ends: Vec<u32>,
}

impl StringTable {
    /// The number of strings.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether the table is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The string at `index`.
    #[must_use]
    #[inline]
    pub fn get(&self, index: usize) -> Option<&str> {
        let end = *self.ends.get(index)? as usize;
        let start = match index {
            0 => 0,
            _ => *self.ends.get(index - 1)? as usize,
        };
        self.text.get(start..end)
    }

    /// All strings, in the order of their indexes.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> + '_ {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let range = std::mem::replace(&mut start, *end as usize)..*end as usize;
            self.text.get(range).unwrap_or_default()
        })
    }

    /// A table of the strings that end at `ends`; `None` if one of them is not UTF-8.
    pub(crate) fn from_parts(text: Vec<u8>, ends: Vec<u32>) -> Option<Self> {
        let text = String::from_utf8(text).ok()?;
        debug_assert!(ends.is_sorted(), "strings end one after the other");
        let whole = |end: &u32| text.is_char_boundary(*end as usize);
        ends.iter().all(whole).then_some(Self { text, ends })
    }

    fn push(&mut self, string: &str) {
        self.text.push_str(string);
        self.ends.push(self.text.len() as u32);
    }

    pub(crate) fn memory(&self) -> usize {
        self.text.capacity() + self.ends.capacity() * size_of::<u32>()
    }
}

/// A table in the making: finds the index of a string that it holds already.
#[derive(Debug, Default)]
pub(crate) struct Interner {
    table: StringTable,
    lookup: HashTable<u16>,
    hasher: DefaultHashBuilder,
    /// The index given out last: what comes next is often the same.
    last: u16,
}

impl Interner {
    /// The index of `string`, which is added if it is new. The caller adds fewer strings than
    /// 16 bits can number: at most one for each event of a block.
    pub(crate) fn intern(&mut self, string: &str) -> u16 {
        if self.table.get(self.last as usize) != Some(string) {
            self.last = self.find_or_add(string);
        }
        self.last
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    fn find_or_add(&mut self, string: &str) -> u16 {
        let hash = self.hasher.hash_one(string);
        let same = |index: &u16| self.table.get(*index as usize) == Some(string);
        if let Some(index) = self.lookup.find(hash, same) {
            return *index;
        }
        let index = self.table.len() as u16;
        self.table.push(string);
        let (table, hasher) = (&self.table, &self.hasher);
        debug_assert!(
            self.lookup.len() <= usize::from(u16::MAX),
            "16 bits number the strings"
        );
        // Grows by hashing again the strings that are in the table, each under its own index.
        self.lookup.insert_unique(hash, index, |index| {
            hasher.hash_one(table.get(*index as usize).unwrap_or_default())
        });
        index
    }

    /// The table, no larger than it needs to be. The interner is empty then, and keeps its memory
    /// for the next one.
    pub(crate) fn take(&mut self) -> StringTable {
        let taken = self.table.clone();
        self.lookup.clear();
        self.table.text.clear();
        self.table.ends.clear();
        taken
    }
}
