use jetwash_cbor::{Cid, Link};
use jetwash_mst::{MAX_KEY_BYTES, MAX_NODE_ENTRIES};

use super::height::height_of;

/// Reads the blocks of tree nodes in a slice, by their positions.
///
/// Strict DAG-CBOR leaves one encoding for a node, so it is read by comparing bytes. Anything else,
/// and whatever breaks a rule that can be checked in the node alone, is `None`. The rules are those
/// of [`jetwash_mst::Node`], whose tests compare the two.
///
/// Source: the repository specification, "MST structure".
pub(super) struct NodeReader<'a> {
    slice: &'a [u8],
    at: usize,
    end: usize,
}

/// An entry of a node, as positions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// Where its key is in the buffer of keys.
    pub(super) key: u32,
    pub(super) key_length: u16,
    pub(super) value: u32,
    pub(super) value_length: u8,
    /// The CID of the child to its right, if there is one.
    pub(super) right: Option<u32>,
}

/// The facts about a node beside its entries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) left: Option<u32>,
    /// The height of its keys, if it has any.
    pub(super) height: Option<u8>,
    pub(super) has_child: bool,
}

impl<'a> NodeReader<'a> {
    pub(super) const fn new(slice: &'a [u8], at: usize, end: usize) -> Self {
        Self { slice, at, end }
    }

    /// Reads the node. Its entries are appended to `entries`, and their keys to `keys`.
    pub(super) fn read(mut self, keys: &mut Vec<u8>, entries: &mut Vec<Entry>) -> Option<Head> {
        self.expect(b"\xa2\x61e")?;
        let count = self.length(ARRAY)?;
        if count > MAX_NODE_ENTRIES {
            return None;
        }
        let (mut height, mut has_child) = (None, false);
        let mut previous = keys.len()..keys.len();
        for _ in 0..count {
            let start = keys.len();
            let entry = self.entry(keys, previous)?;
            previous = start..keys.len();
            let own = height_of(keys.get(start..)?);
            if height.replace(own).is_some_and(|before| before != own) {
                return None;
            }
            has_child |= entry.right.is_some();
            entries.push(entry);
        }
        self.expect(b"\x61l")?;
        let left = self.child()?;
        (self.at == self.end).then_some(Head {
            left,
            height,
            has_child: has_child || left.is_some(),
        })
    }

    fn entry(&mut self, keys: &mut Vec<u8>, previous: std::ops::Range<usize>) -> Option<Entry> {
        self.expect(b"\xa4\x61k")?;
        let length = self.length(BYTES)?;
        let suffix = self.take(length)?;
        self.expect(b"\x61p")?;
        let shared = self.length(UNSIGNED)?;
        let before = keys.get(previous.clone())?;
        // The first byte after the prefix decides order and says whether the prefix is the longest.
        let is_greater = match (before.get(shared), suffix.first()) {
            _ if shared > before.len() => false,
            (Some(before), Some(now)) => before < now,
            (None, Some(_)) => true,
            (_, None) => false,
        };
        let key_length = shared + length;
        if !is_greater || key_length > MAX_KEY_BYTES {
            return None;
        }
        let key = keys.len();
        keys.extend_from_within(previous.start..previous.start + shared);
        keys.extend_from_slice(suffix);
        self.expect(b"\x61t")?;
        let right = self.child()?;
        self.expect(b"\x61v")?;
        let (value, value_length) = self.value()?;
        Some(Entry {
            // A slice has fewer than 2^32 bytes, and a key is at most a few times its entry.
            key: u32::try_from(key).ok()?,
            key_length: key_length as u16,
            value,
            value_length,
            right,
        })
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(length)?;
        let taken = self.slice.get(self.at..end.min(self.end))?;
        self.at = end;
        (taken.len() == length).then_some(taken)
    }

    fn expect<const N: usize>(&mut self, expected: &[u8; N]) -> Option<()> {
        (self.take(N)? == expected).then_some(())
    }

    /// The head of an item of that major type, in as few bytes as it needs; of two bytes at most,
    /// since nothing in a node is longer.
    fn length(&mut self, major: u8) -> Option<usize> {
        let &[head] = self.take(1)? else { return None };
        match head.checked_sub(major)? {
            short @ ..24 => Some(short.into()),
            24 => match *self.take(1)? {
                [byte] => Some(usize::from(byte)).filter(|&length| length >= 24),
                _ => None,
            },
            25 => match *self.take(2)? {
                [0, _] => None,
                [high, low] => Some(usize::from(u16::from_be_bytes([high, low]))),
                _ => None,
            },
            _ => None,
        }
    }

    /// Reads `null` or the link to a child, and returns where its CID is.
    fn child(&mut self) -> Option<Option<u32>> {
        if self.slice.get(self.at) == Some(&NULL) && self.at < self.end {
            self.at += 1;
            return Some(None);
        }
        self.expect(LINK_TO_CID)?;
        let at = self.at;
        let cid = self.take(Cid::LENGTH)?;
        cid.starts_with(&[1, 0x71, 0x12, 32])
            .then_some(Some(at as u32))
    }

    /// Reads the link to a record, and returns where its CID is and its length. It may be of any
    /// kind.
    fn value(&mut self) -> Option<(u32, u8)> {
        self.expect(b"\xd8\x2a")?;
        let length = self.length(BYTES)?.checked_sub(1)?;
        self.expect(b"\0")?;
        let at = self.at;
        let cid = self.take(length)?;
        Link::from_bytes(cid).ok()?;
        Some((at as u32, u8::try_from(length).ok()?))
    }
}

const UNSIGNED: u8 = 0;
const BYTES: u8 = 0x40;
const ARRAY: u8 = 0x80;
const NULL: u8 = 0xf6;
/// A tag and the head of 37 bytes, of which the first is zero.
const LINK_TO_CID: &[u8; 5] = b"\xd8\x2a\x58\x25\0";
