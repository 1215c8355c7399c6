//! The stored form of a block: see `docs/store-format.md`.

use std::sync::Arc;

use jetwash_dict::Compressor;
use jetwash_event::PlcDid;

use crate::backend::BlockKey;
use crate::block::{Block, Encoding, Index};
use crate::commit_parts::{CommitParts, CommitRun};
use crate::error::StoreError;
use crate::event::{CommitPart, EventKind};
use crate::table::StringTable;

/// What is wrong with stored bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Damage(pub(crate) &'static str);

const BLOCK_VERSION: u8 = 2;
/// It took two bytes to say which string an event has, however few there are.
const WIDE_INDEXES: u8 = 1;
const HEADER: usize = 40;
const CHECKSUM: usize = 4;

const JSON: u8 = 0;
const COMPRESSED_JSON: u8 = 1;
const FRAMES: u8 = 2;

const PLAIN: u8 = 0;
const PLC: u8 = 1;

/// The stored form of a block's index.
pub(crate) fn encode_index(index: &Index) -> Vec<u8> {
    let events = index.times.len();
    let mut out = Vec::with_capacity(HEADER + events * 10 + index.dids.memory() + 64);
    let (encoding, dictionary) = match index.encoding {
        Encoding::Json => (JSON, 0),
        Encoding::PackedJson => (COMPRESSED_JSON, 0),
        Encoding::Compressed { dictionary } => (FRAMES, dictionary),
    };
    out.extend_from_slice(&[BLOCK_VERSION, encoding]);
    out.extend_from_slice(&(index.sources.len() as u16).to_le_bytes());
    out.extend_from_slice(&(events as u32).to_le_bytes());
    out.extend_from_slice(&index.first_seq.to_le_bytes());
    out.extend_from_slice(&index.first_time().to_le_bytes());
    out.extend_from_slice(&dictionary.to_le_bytes());
    out.extend_from_slice(&index.payload_len.to_le_bytes());
    out.extend_from_slice(&index.payload_crc.to_le_bytes());
    out.extend_from_slice(&(index.dids.len() as u16).to_le_bytes());
    out.extend_from_slice(&(index.collections.len() as u16).to_le_bytes());

    out.extend(index.kinds.iter().map(|kind| *kind as u8));
    for (column, table) in [
        (&index.did_indexes, &index.dids),
        (&index.collection_indexes, &index.collections),
    ] {
        match Width::of(table.len()) {
            Width::One => out.extend(column.iter().map(|index| *index as u8)),
            Width::Two => out.extend(column.iter().flat_map(|index| index.to_le_bytes())),
        }
    }
    for pair in index.times.windows(2) {
        if let [before, after] = pair {
            write_varint(&mut out, after - before);
        }
    }
    for ends in [&index.json_ends, &index.compressed_ends] {
        let mut start = 0;
        for end in ends.iter() {
            write_varint(&mut out, u64::from(end - start));
            start = *end;
        }
    }
    index
        .source_indexes
        .iter()
        .for_each(|source| write_varint(&mut out, u64::from(*source)));
    write_commit_parts(&mut out, &index.commit_parts);
    index.dids.iter().for_each(|did| write_did(&mut out, did));
    for table in [&index.collections, &index.sources] {
        table.iter().for_each(|text| write_text(&mut out, text));
    }
    let checksum = crc32fast::hash(&out);
    out.extend_from_slice(&checksum.to_le_bytes());
    out
}

/// Reads what [`encode_index`] wrote.
pub(crate) fn decode_index(bytes: &[u8]) -> Result<Index, Damage> {
    let body_len = bytes.len().checked_sub(CHECKSUM).ok_or(SHORT)?;
    let (body, checksum) = bytes.split_at(body_len);
    if crc32fast::hash(body).to_le_bytes() != checksum {
        return Err(Damage("the index fails its checksum"));
    }
    let mut input = Input(body);
    let [version, encoding] = input.array()?;
    let width = match version {
        BLOCK_VERSION => Width::of,
        WIDE_INDEXES => |_| Width::Two,
        _ => return Err(Damage("the block has a version that is not known")),
    };
    let sources = u16::from_le_bytes(input.array()?) as usize;
    let events = input.u32()? as usize;
    let first_seq = u64::from_le_bytes(input.array()?);
    let first_time = u64::from_le_bytes(input.array()?);
    let dictionary = input.u32()?;
    let payload_len = input.u32()?;
    let payload_crc = input.u32()?;
    let dids = u16::from_le_bytes(input.array()?) as usize;
    let collections = u16::from_le_bytes(input.array()?) as usize;
    let encoding = match encoding {
        JSON => Encoding::Json,
        COMPRESSED_JSON => Encoding::PackedJson,
        FRAMES => Encoding::Compressed { dictionary },
        _ => return Err(Damage("the payload has a form that is not known")),
    };
    if events == 0 || first_seq.checked_add(events as u64).is_none() {
        return Err(Damage("the index has an impossible number of events"));
    }

    let kinds = input
        .take(events)?
        .iter()
        .map(|byte| EventKind::from_stored(*byte));
    let kinds = kinds
        .collect::<Option<_>>()
        .ok_or(Damage("an event has a kind not known"))?;
    let did_indexes = input.indexes(events, dids, width(dids))?;
    let collection_indexes = input.indexes(events, collections, width(collections))?;
    let times = input.times(events, first_time)?;
    let json_ends = input.ends(events)?;
    let compressed_ends = match encoding {
        Encoding::Compressed { .. } => input.ends(events)?,
        Encoding::Json | Encoding::PackedJson => Arc::from([]),
    };
    let source_indexes = match sources {
        0 => return Err(Damage("the block has no table of sources")),
        1 => Vec::new(),
        _ => input.short_indexes(events, sources)?,
    };
    let index = Index {
        first_seq,
        encoding,
        times,
        kinds,
        did_indexes,
        collection_indexes,
        source_indexes,
        commit_parts: input.commit_parts(events)?,
        json_ends,
        compressed_ends,
        dids: input.did_table(dids)?,
        collections: input.text_table(collections)?,
        sources: input.text_table(sources)?,
        payload_len,
        payload_crc,
    };
    if input.0.is_empty() {
        Ok(index)
    } else {
        Err(Damage("the index has bytes left over"))
    }
}

/// Whether a payload is what its index was written with.
pub(crate) fn check_payload(index: &Index, payload: &[u8]) -> Result<(), Damage> {
    if payload.len() != index.payload_len as usize {
        return Err(Damage("the payload has another length than the index says"));
    }
    if crc32fast::hash(payload) != index.payload_crc {
        return Err(Damage("the payload fails its checksum"));
    }
    Ok(())
}

/// What the index and the payload of a full block are stored as.
pub(crate) struct Stored {
    pub(crate) key: BlockKey,
    pub(crate) index: bytes::Bytes,
    pub(crate) payload: bytes::Bytes,
}

/// The stored form of a full block, whose payload is in memory. JSON is compressed here.
pub(crate) fn encode_block(block: &Block, packer: &mut Compressor) -> Result<Stored, StoreError> {
    let mut index = block.index().clone();
    let payload = match (index.encoding, block.compressed()?) {
        (Encoding::Compressed { .. }, Some(compressed)) => compressed.bytes().clone(),
        _ => {
            let json = block.json()?.bytes();
            let mut packed = Vec::new();
            let result = packer.compress(json, &mut packed);
            result.map_err(|error| StoreError::storage("compress a block")(error.into()))?;
            packed.shrink_to_fit();
            index.encoding = Encoding::PackedJson;
            index.payload_len = packed.len() as u32;
            index.payload_crc = crc32fast::hash(&packed);
            packed.into()
        }
    };
    let encoded = encode_index(&index);
    Ok(Stored {
        key: BlockKey {
            first_seq: index.first_seq,
            first_time: index.first_time(),
            bytes: (encoded.len() + payload.len()) as u32,
        },
        index: encoded.into(),
        payload,
    })
}

/// A piece of the tail in one value: the length of the index, the index, the payload.
pub(crate) fn encode_piece(block: &Block) -> Result<Vec<u8>, StoreError> {
    let index = encode_index(block.index());
    let payload = match block.compressed()? {
        Some(compressed) => compressed.bytes(),
        None => block.json()?.bytes(),
    };
    let mut out = Vec::with_capacity(4 + index.len() + payload.len());
    out.extend_from_slice(&(index.len() as u32).to_le_bytes());
    out.extend_from_slice(&index);
    out.extend_from_slice(payload);
    Ok(out)
}

/// The index of a piece, and the offset of its payload.
pub(crate) fn decode_piece(bytes: &[u8]) -> Result<(Index, usize), Damage> {
    let mut input = Input(bytes);
    let length = input.u32()? as usize;
    let index = decode_index(input.take(length)?)?;
    Ok((index, 4 + length))
}

/// How many bytes say which string of a table an event has.
#[derive(Clone, Copy)]
enum Width {
    One,
    Two,
}

impl Width {
    const fn of(strings: usize) -> Self {
        if strings <= 1 << u8::BITS {
            Self::One
        } else {
            Self::Two
        }
    }
}

const BAD_PART: Damage = Damage("an event is an operation that its commit does not have");
const NO_STRING: Damage = Damage("an event names a string that the block does not have");
const NOT_UTF8: Damage = Damage("a string is not UTF-8");
const SHORT: Damage = Damage("the index is cut short");

/// What is left to read.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Damage> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(SHORT)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Damage> {
        self.chunk().copied()
    }

    #[inline]
    fn chunk<const N: usize>(&mut self) -> Result<&'a [u8; N], Damage> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(SHORT)?;
        self.0 = rest;
        Ok(taken)
    }

    fn u32(&mut self) -> Result<u32, Damage> {
        self.array().map(u32::from_le_bytes)
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, Damage> {
        // Nearly all take one byte or two.
        match *self.0 {
            [one, ref rest @ ..] if one < 0x80 => {
                self.0 = rest;
                return Ok(u64::from(one));
            }
            [one, two, ref rest @ ..] if two < 0x80 => {
                self.0 = rest;
                return Ok(u64::from(one & 0x7f) | u64::from(two) << 7);
            }
            _ => {}
        }
        let mut value = 0;
        for (position, byte) in self.0.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * position);
            if byte & 0x80 == 0 {
                self.0 = &self.0[position + 1..];
                return Ok(value);
            }
        }
        Err(Damage("a number in the index has no end"))
    }

    fn indexes(&mut self, events: usize, table: usize, width: Width) -> Result<Vec<u16>, Damage> {
        let indexes: Vec<u16> = match width {
            Width::One => self.take(events)?.iter().copied().map(u16::from).collect(),
            Width::Two => {
                let (pairs, _) = self.take(events.saturating_mul(2))?.as_chunks::<2>();
                pairs.iter().map(|pair| u16::from_le_bytes(*pair)).collect()
            }
        };
        if indexes.iter().all(|index| (*index as usize) < table) {
            Ok(indexes)
        } else {
            Err(NO_STRING)
        }
    }

    fn short_indexes(&mut self, events: usize, table: usize) -> Result<Vec<u16>, Damage> {
        let mut indexes = Vec::with_capacity(events.min(self.0.len()));
        for _ in 0..events {
            let index = u16::try_from(self.varint()?).ok();
            indexes.push(
                index
                    .filter(|index| (*index as usize) < table)
                    .ok_or(NO_STRING)?,
            );
        }
        Ok(indexes)
    }

    fn commit_parts(&mut self, events: usize) -> Result<CommitParts, Damage> {
        let mut parts = CommitParts::default();
        let mut first = 0_u32;
        for _ in 0..self.varint()? {
            first = self.number()?.checked_add(first).ok_or(BAD_PART)?;
            let (count, index, len) = (self.number()?, self.number()?, self.number()?);
            let end = first.checked_add(count).ok_or(BAD_PART)?;
            let next = index.checked_add(count).ok_or(BAD_PART)?;
            if count == 0 || end as usize > events || next > len {
                return Err(BAD_PART);
            }
            let part = CommitPart { index, len };
            parts.push(CommitRun { first, count, part });
            first = end;
        }
        Ok(parts)
    }

    fn number(&mut self) -> Result<u32, Damage> {
        u32::try_from(self.varint()?).map_err(|_| Damage("a number in the index is too large"))
    }

    fn times(&mut self, events: usize, first: u64) -> Result<Vec<u64>, Damage> {
        let mut times = Vec::with_capacity(events.min(self.0.len() + 1));
        let mut time = first;
        times.push(time);
        for _ in 1..events {
            time = time
                .checked_add(self.varint()?)
                .ok_or(Damage("a time overflows"))?;
            times.push(time);
        }
        Ok(times)
    }

    fn ends(&mut self, events: usize) -> Result<Arc<[u32]>, Damage> {
        // Each takes a byte at least: this bounds the memory.
        if events > self.0.len() {
            return Err(SHORT);
        }
        let mut outcome = Ok(());
        let mut end = 0_u32;
        let ends = (0..events).map(|_| {
            match self.varint().map(u32::try_from) {
                Ok(Ok(length)) if length <= u32::MAX - end => end += length,
                Ok(_) => outcome = Err(Damage("an event has an impossible length")),
                Err(damage) => outcome = Err(damage),
            }
            end
        });
        // Collected in place, and not copied once more.
        let ends = ends.collect();
        outcome.map(|()| ends)
    }

    fn did_table(&mut self, strings: usize) -> Result<StringTable, Damage> {
        let mut text = Vec::with_capacity(strings * PlcDid::TEXT_LENGTH);
        let mut ends = Vec::with_capacity(strings);
        for _ in 0..strings {
            match self.array()? {
                [PLC] => PlcDid::from_bytes(self.chunk()?).write_to(&mut text),
                [PLAIN] => text.extend_from_slice(self.text()?),
                _ => return Err(Damage("a DID has a form that is not known")),
            }
            ends.push(text.len() as u32);
        }
        StringTable::from_parts(text, ends).ok_or(NOT_UTF8)
    }

    fn text_table(&mut self, strings: usize) -> Result<StringTable, Damage> {
        let mut text = Vec::with_capacity(strings * 24);
        let mut ends = Vec::with_capacity(strings);
        for _ in 0..strings {
            text.extend_from_slice(self.text()?);
            ends.push(text.len() as u32);
        }
        StringTable::from_parts(text, ends).ok_or(NOT_UTF8)
    }

    fn text(&mut self) -> Result<&'a [u8], Damage> {
        let length = u16::from_le_bytes(self.array()?) as usize;
        self.take(length)
    }
}

fn write_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn write_commit_parts(out: &mut Vec<u8>, parts: &CommitParts) {
    write_varint(out, parts.runs().len() as u64);
    let mut end = 0;
    for run in parts.runs() {
        for number in [run.first - end, run.count, run.part.index, run.part.len] {
            write_varint(out, number.into());
        }
        end = run.end();
    }
}

fn write_did(out: &mut Vec<u8>, did: &str) {
    match PlcDid::parse(did) {
        Some(did) => {
            out.push(PLC);
            out.extend_from_slice(&did.to_bytes());
        }
        None => {
            out.push(PLAIN);
            write_text(out, did);
        }
    }
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u16).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Made with Python's struct, zlib.crc32 and base64 from docs/store-format.md alone.
    const RECORDED: &str = "\
        0202020003000000e80300000000000000401e18240a06004d00000005000000b331b60802000200\
        01040300010000010001ac02078201f0a2040200030001000200010204010103ac0201cff48f9c78\
        6b15e8eb59d7cfe9d6910013006469643a7765623a6578616d706c652e636f6d12006170702e6273\
        6b792e666565642e706f7374000010007773733a2f2f612e6578616d706c652f0000e1e4ed7c";

    /// The same in version 1 of blocks.
    const RECORDED_1: &str = "\
        0102020003000000e80300000000000000401e18240a06004d00000005000000b331b60802000200\
        01040300000100000000000100000001ac02078201f0a2040200030001000200010204010103ac02\
        01cff48f9c786b15e8eb59d7cfe9d6910013006469643a7765623a6578616d706c652e636f6d1200\
        6170702e62736b792e666565642e706f7374000010007773733a2f2f612e6578616d706c652f0000\
        255be9fe";

    fn recorded() -> Vec<u8> {
        bytes(RECORDED)
    }

    fn bytes(digits: &str) -> Vec<u8> {
        let digits = digits
            .as_bytes()
            .chunks(2)
            .map(|pair| str::from_utf8(pair).unwrap());
        digits
            .map(|pair| u8::from_str_radix(pair, 16).unwrap())
            .collect()
    }

    fn expected() -> Index {
        let table = |strings: [&str; 2]| {
            let ends = vec![strings[0].len() as u32, strings.concat().len() as u32];
            StringTable::from_parts(strings.concat().into_bytes(), ends).unwrap()
        };
        Index {
            first_seq: 1_000,
            encoding: Encoding::Compressed { dictionary: 77 },
            times: vec![
                1_700_000_000_000_000,
                1_700_000_000_000_001,
                1_700_000_000_000_301,
            ],
            kinds: vec![EventKind::Create, EventKind::Identity, EventKind::Delete],
            did_indexes: vec![0, 1, 0],
            collection_indexes: vec![0, 1, 0],
            source_indexes: vec![0, 1, 0],
            commit_parts: commit_parts(),
            json_ends: Arc::from([7, 137, 70_137]),
            compressed_ends: Arc::from([2, 2, 5]),
            dids: table(["did:plc:z72i7hdynmk6r22z27h6tvur", "did:web:example.com"]),
            collections: table(["app.bsky.feed.post", ""]),
            sources: table(["wss://a.example/", ""]),
            payload_len: 5,
            payload_crc: 146158003,
        }
    }

    fn commit_parts() -> CommitParts {
        let mut parts = CommitParts::default();
        for (first, index, len) in [(0, 2, 4), (2, 3, 300)] {
            let part = CommitPart { index, len };
            let count = 1;
            parts.push(CommitRun { first, count, part });
        }
        parts
    }

    #[test]
    fn a_recorded_index_still_opens() {
        assert_eq!(decode_index(&recorded()), Ok(expected()));
        assert_eq!(decode_index(&bytes(RECORDED_1)), Ok(expected()));
    }

    #[test]
    fn an_index_is_written_as_recorded() {
        assert_eq!(encode_index(&expected()), recorded());
    }

    #[test]
    fn a_payload_must_be_what_was_written() {
        assert_eq!(check_payload(&expected(), b"F1F22"), Ok(()));
        assert!(check_payload(&expected(), b"F1F23").is_err());
        assert!(check_payload(&expected(), b"F1F2").is_err());
    }

    proptest! {
        #[test]
        fn a_changed_byte_is_noticed(at in any::<prop::sample::Index>(), bits in 1..=u8::MAX) {
            let mut bytes = recorded();
            let at = at.index(bytes.len());
            bytes[at] ^= bits;
            prop_assert!(decode_index(&bytes).is_err());
        }

        #[test]
        fn an_index_cut_short_is_noticed(length in any::<prop::sample::Index>()) {
            let bytes = recorded();
            prop_assert!(decode_index(&bytes[..length.index(bytes.len())]).is_err());
        }

        /// With a checksum that fits, only the reader's own care is left.
        #[test]
        fn nothing_makes_the_reader_panic(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        ) {
            let mut bytes = recorded();
            bytes.truncate(bytes.len() - CHECKSUM);
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            let checksum = crc32fast::hash(&bytes);
            bytes.extend_from_slice(&checksum.to_le_bytes());
            if let Ok(index) = decode_index(&bytes) {
                prop_assert_eq!(index.kinds.len(), index.times.len());
                prop_assert_eq!(index.json_ends.len(), index.times.len());
            }
        }
    }
}
