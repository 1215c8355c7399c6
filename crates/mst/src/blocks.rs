use std::collections::HashMap;

use jetwash_cbor::{Cid, Link};
use jetwash_frame::{Car, CarBlock, CarError};

/// A place where a [`Walk`](crate::Walk) finds blocks.
///
/// # Examples
///
/// ```
/// use std::collections::HashMap;
/// use jetwash_cbor::{Cid, Codec};
/// use jetwash_mst::BlockSource;
///
/// /// Blocks whose hashes were checked when they were stored.
/// struct Stored(HashMap<Cid, Vec<u8>>);
///
/// impl BlockSource for Stored {
///     fn block(&self, cid: &Cid) -> Option<&[u8]> {
///         self.0.get(cid).map(Vec::as_slice)
///     }
/// }
///
/// let cid = Cid::of(Codec::DagCbor, &[0xa0]);
/// let stored = Stored(HashMap::from([(cid, vec![0xa0])]));
/// assert_eq!(stored.block(&cid), Some(&[0xa0][..]));
/// ```
///
/// An implementation vouches that a block's content hashes to the CID it was asked for: the walk
/// does not hash again, so that a block that is linked often is hashed once.
pub trait BlockSource {
    /// The content of that block, if it is there.
    fn block(&self, cid: &Cid) -> Option<&[u8]>;
}

/// The blocks of a CAR file by CID, each one's hash checked as it is put in.
///
/// A block that does not match its CID is left out, as if the file lacked it: one bad record then
/// costs that record and not the file.
///
/// # Examples
///
/// ```
/// use jetwash_cbor::{Cid, Codec};
/// use jetwash_mst::{BlockIndex, BlockSource};
///
/// let cid = Cid::of(Codec::DagCbor, &[0xa0]);
/// let mut index = BlockIndex::new();
/// assert!(!index.insert(cid.as_link(), &[0x80]));
/// assert_eq!((index.block(&cid), index.rejected()), (None, 1));
/// assert!(index.insert(cid.as_link(), &[0xa0]));
/// assert_eq!(index.block(&cid), Some(&[0xa0][..]));
/// ```
#[derive(Clone, Debug, Default)]
pub struct BlockIndex<'a> {
    blocks: HashMap<Cid, &'a [u8]>,
    rejected: usize,
}

impl<'a> BlockIndex<'a> {
    /// Makes an empty index.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads all blocks of a CAR file.
    ///
    /// # Errors
    ///
    /// When the file is cut short or malformed.
    pub fn from_car(car: &Car<'a>) -> Result<Self, CarError> {
        let mut index = Self::new();
        for block in car.blocks() {
            let CarBlock { cid, data, .. } = block?;
            index.insert(cid, data);
        }
        Ok(index)
    }

    /// Adds a block and returns whether its content matched the CID. Otherwise it is left out.
    pub fn insert(&mut self, cid: Link<'_>, content: &'a [u8]) -> bool {
        let matching = Cid::try_from(cid)
            .ok()
            .filter(|cid| self.blocks.contains_key(cid) || cid.matches(content));
        match matching {
            Some(cid) => {
                self.blocks.entry(cid).or_insert(content);
            }
            None => self.rejected += 1,
        }
        matching.is_some()
    }

    /// How many blocks are in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Whether it holds no block.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// How many blocks were left out because they did not match their CID, or had one of a kind
    /// that cannot be checked.
    #[must_use]
    pub const fn rejected(&self) -> usize {
        self.rejected
    }
}

impl BlockSource for BlockIndex<'_> {
    fn block(&self, cid: &Cid) -> Option<&[u8]> {
        self.blocks.get(cid).copied()
    }
}
