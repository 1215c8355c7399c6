use jetwash_cbor::{CborReader, CborWriter, Cid, CidError, Codec, Link, MapReader};
use thiserror::Error;

use crate::height::key_height;

/// The longest key that is accepted, in bytes. The longest legal path has 830.
pub const MAX_KEY_BYTES: usize = 1024;

/// The most entries that are accepted in one node.
///
/// The most seen in a repository of 11,585 records is 34. More than this is out of reach of chance,
/// so it is a repository whose keys were searched for to do harm.
pub const MAX_NODE_ENTRIES: usize = 1024;

/// The greatest height that a key can have: half the bits of a SHA-256.
pub const MAX_HEIGHT: u8 = 128;

/// One node of a tree, borrowed from its block and checked against every rule that can be checked
/// without the nodes around it.
///
/// Source: the repository specification.
///
/// # Examples
///
/// ```
/// use jetwash_cbor::{Cid, Codec};
/// use jetwash_mst::{Node, write_node};
///
/// let record = Cid::of(Codec::DagCbor, &[0xa0]);
/// let block = write_node(None, [(&b"a/4"[..], record, None), (b"a/5", record, None)]);
///
/// let node = Node::decode(&block)?;
/// assert_eq!(node.height(), Some(0));
/// let second = &node.entries()[1];
/// assert_eq!((second.prefix_length, second.suffix), (2, &b"5"[..]));
/// # Ok::<(), jetwash_mst::NodeError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node<'a> {
    left: Option<Cid>,
    entries: Vec<NodeEntry<'a>>,
    height: Option<u8>,
    last_key: Vec<u8>,
}

impl<'a> Node<'a> {
    /// Reads a node.
    ///
    /// # Errors
    ///
    /// When the bytes are not a node that a correct writer can have made: not strict DAG-CBOR,
    /// other fields than those of a node, keys that are not in order, not shortened as far as
    /// possible or not of one height, children below height 0, or more than the limits allow.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, NodeError> {
        let mut reader = CborReader::new(bytes);
        let mut map = reader.map()?;
        expect_key(&mut map, &mut reader, "e")?;
        let mut keys = KeyCheck::default();
        let entries = read_entries(&mut reader, &mut keys)?;
        expect_key(&mut map, &mut reader, "l")?;
        let left = read_child(&mut reader)?;
        expect_end(&mut map, &mut reader)?;
        reader.finish()?;
        if keys.height == Some(0) && (left.is_some() || entries.iter().any(|e| e.right.is_some())) {
            return Err(NodeError::ChildBelowZero);
        }
        Ok(Self {
            left,
            entries,
            height: keys.height,
            last_key: keys.key,
        })
    }

    /// The child whose keys are below those of this node.
    #[must_use]
    pub const fn left(&self) -> Option<&Cid> {
        self.left.as_ref()
    }

    /// The entries in the order of their keys.
    #[must_use]
    pub fn entries(&self) -> &[NodeEntry<'a>] {
        &self.entries
    }

    /// The height of its keys; `None` when it has none, and its height is its parent's less one.
    #[must_use]
    pub const fn height(&self) -> Option<u8> {
        self.height
    }

    /// The greatest key of the node itself; empty when it has none.
    #[must_use]
    pub fn last_key(&self) -> &[u8] {
        &self.last_key
    }

    /// Whether it has neither entries nor a child, as only the root of an empty tree may.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.left.is_none()
    }
}

/// One entry of a [`Node`].
///
/// # Examples
///
/// ```
/// use jetwash_cbor::{Cid, Codec};
/// use jetwash_mst::{Node, write_node};
///
/// let record = Cid::of(Codec::DagCbor, &[0xa0]);
/// let block = write_node(None, [(&b"a/4"[..], record, None), (b"a/5", record, None)]);
/// let mut key = Vec::new();
/// for entry in Node::decode(&block)?.entries() {
///     entry.apply(&mut key);
/// }
/// assert_eq!(key, b"a/5");
/// # Ok::<(), jetwash_mst::NodeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeEntry<'a> {
    /// How many bytes the key shares with the key before it in the node.
    pub prefix_length: usize,
    /// The rest of the key.
    pub suffix: &'a [u8],
    /// The record's CID. It may be of a kind that AT Protocol does not make.
    pub value: Link<'a>,
    /// The child whose keys lie between this key and the next.
    pub right: Option<Cid>,
}

impl NodeEntry<'_> {
    /// Turns `key`, which holds the key before it in the node, into this entry's key.
    pub fn apply(&self, key: &mut Vec<u8>) {
        key.truncate(self.prefix_length);
        key.extend_from_slice(self.suffix);
    }
}

/// Writes the block of a node.
///
/// Each entry is a whole key, its record, and the child to its right. The keys are all of
/// one height and in order; they are shortened here.
///
/// # Examples
///
/// ```
/// use jetwash_cbor::{Cid, Codec};
/// use jetwash_mst::write_node;
///
/// let empty = write_node(None, []);
/// assert_eq!(
///     Cid::of(Codec::DagCbor, &empty).to_string(),
///     "bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm"
/// );
/// ```
pub fn write_node<'k, I>(left: Option<Cid>, entries: I) -> Vec<u8>
where
    I: IntoIterator<Item = (&'k [u8], Cid, Option<Cid>), IntoIter: ExactSizeIterator>,
{
    let entries = entries.into_iter();
    let mut writer = CborWriter::new();
    writer.map(2).text("e").array(entries.len());
    let mut previous: &[u8] = &[];
    for (key, value, right) in entries {
        let shared = shared_prefix(previous, key);
        writer.map(4).text("k").bytes(&key[shared..]);
        writer.text("p").unsigned(shared as u64);
        write_child(writer.text("t"), right.as_ref());
        writer.text("v").link(&value);
        previous = key;
    }
    write_child(writer.text("l"), left.as_ref());
    writer.into_bytes()
}

/// Why a block is not a tree node. Entries are counted from zero.
///
/// # Examples
///
/// ```
/// use jetwash_mst::{Node, NodeError};
///
/// let error = Node::decode(b"\xa0").unwrap_err();
/// assert!(matches!(error, NodeError::Field { expected: "e", .. }));
/// ```
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum NodeError {
    /// Not the DAG-CBOR that a node is made of.
    #[error(transparent)]
    Cbor(#[from] jetwash_cbor::Error),
    /// A link to a child that is not a CID of DAG-CBOR under SHA-256.
    #[error("a link to a child that no tree makes: {0}")]
    Child(CidError),
    /// A child of a node at height 0.
    #[error("a child below height 0")]
    ChildBelowZero,
    /// A field is missing, or there is one that no node has.
    #[error("byte {offset}: expected `{expected}`")]
    Field {
        /// Where, in bytes from the start of the block.
        offset: usize,
        /// The field that belongs there, or the end of the map.
        expected: &'static str,
    },
    /// Keys of different heights in one node.
    #[error("entry {entry}: a key of height {height} in a node of height {expected}")]
    Height {
        /// The entry.
        entry: usize,
        /// The height of its key.
        height: u8,
        /// The height of the keys before it.
        expected: u8,
    },
    /// An empty key, or one longer than [`MAX_KEY_BYTES`].
    #[error("entry {entry}: a key of {length} bytes")]
    KeyLength {
        /// The entry.
        entry: usize,
        /// The length of its key.
        length: usize,
    },
    /// A key that is not greater than the one before it.
    #[error("entry {entry}: a key that is not greater than the one before it")]
    KeyOrder {
        /// The entry.
        entry: usize,
    },
    /// A key that shares another number of bytes with the one before it than it says.
    #[error("entry {entry}: a prefix of {claimed} bytes is not what it shares with the key before")]
    Prefix {
        /// The entry.
        entry: usize,
        /// The value found.
        claimed: u64,
    },
    /// More entries than [`MAX_NODE_ENTRIES`].
    #[error("{0} entries in one node")]
    TooManyEntries(usize),
}

/// The facts about the keys so far by which the next is checked.
#[derive(Default)]
struct KeyCheck {
    key: Vec<u8>,
    height: Option<u8>,
}

impl KeyCheck {
    fn next(&mut self, entry: usize, prefix: u64, suffix: &[u8]) -> Result<usize, NodeError> {
        let wrong_prefix = NodeError::Prefix {
            entry,
            claimed: prefix,
        };
        let shared = usize::try_from(prefix).map_err(|_| wrong_prefix)?;
        // The first byte after the prefix decides order and says whether the prefix is the longest.
        match (self.key.get(shared), suffix.first()) {
            _ if shared > self.key.len() => return Err(wrong_prefix),
            (Some(before), Some(now)) if before == now => return Err(wrong_prefix),
            (Some(before), Some(now)) if before > now => return Err(NodeError::KeyOrder { entry }),
            (_, None) if entry > 0 => return Err(NodeError::KeyOrder { entry }),
            _ => {}
        }
        let length = shared + suffix.len();
        if length == 0 || length > MAX_KEY_BYTES {
            return Err(NodeError::KeyLength { entry, length });
        }
        self.key.truncate(shared);
        self.key.extend_from_slice(suffix);
        let height = key_height(&self.key);
        match self.height.replace(height) {
            Some(expected) if expected != height => Err(NodeError::Height {
                entry,
                height,
                expected,
            }),
            _ => Ok(shared),
        }
    }
}

fn read_entries<'a>(
    reader: &mut CborReader<'a>,
    keys: &mut KeyCheck,
) -> Result<Vec<NodeEntry<'a>>, NodeError> {
    let count = reader.array()?;
    if count > MAX_NODE_ENTRIES {
        return Err(NodeError::TooManyEntries(count));
    }
    let mut entries = Vec::with_capacity(count);
    for entry in 0..count {
        entries.push(read_entry(reader, keys, entry)?);
    }
    Ok(entries)
}

fn read_entry<'a>(
    reader: &mut CborReader<'a>,
    keys: &mut KeyCheck,
    entry: usize,
) -> Result<NodeEntry<'a>, NodeError> {
    let mut map = reader.map()?;
    expect_key(&mut map, reader, "k")?;
    let suffix = reader.bytes()?;
    expect_key(&mut map, reader, "p")?;
    let prefix = reader.unsigned()?;
    expect_key(&mut map, reader, "t")?;
    let right = read_child(reader)?;
    expect_key(&mut map, reader, "v")?;
    let value = reader.link()?;
    expect_end(&mut map, reader)?;
    Ok(NodeEntry {
        prefix_length: keys.next(entry, prefix, suffix)?,
        suffix,
        value,
        right,
    })
}

fn read_child(reader: &mut CborReader<'_>) -> Result<Option<Cid>, NodeError> {
    if reader.null() {
        return Ok(None);
    }
    let cid = Cid::try_from(reader.link()?).map_err(NodeError::Child)?;
    match cid.codec() {
        Codec::DagCbor => Ok(Some(cid)),
        Codec::Raw => Err(NodeError::Child(CidError::Profile)),
    }
}

fn write_child(writer: &mut CborWriter, child: Option<&Cid>) {
    match child {
        Some(cid) => writer.link(cid),
        None => writer.null(),
    };
}

fn expect_key<'a>(
    map: &mut MapReader<'a>,
    reader: &mut CborReader<'a>,
    expected: &'static str,
) -> Result<(), NodeError> {
    let offset = reader.position();
    match map.next_key(reader)? {
        Some(key) if key == expected => Ok(()),
        _ => Err(NodeError::Field { offset, expected }),
    }
}

fn expect_end<'a>(map: &mut MapReader<'a>, reader: &mut CborReader<'a>) -> Result<(), NodeError> {
    let offset = reader.position();
    match map.next_key(reader)? {
        None => Ok(()),
        Some(_) => Err(NodeError::Field {
            offset,
            expected: "the end of the map",
        }),
    }
}

fn shared_prefix(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}
