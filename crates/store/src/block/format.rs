//! The bytes of a block's index. The whole of what is stored is in `docs/store-format.md`.
//!
//! Numbers are little-endian. A *varint* is LEB128: seven bits a byte, the lowest first, the top bit
//! set on all but the last. *n* is the number of events.
//!
//! | at | bytes | |
//! | --- | --- | --- |
//! | 0 | 1 | block version: 2; 3 if an event was verified; or 1, in which both columns of indexes take two bytes an event |
//! | 1 | 1 | form of the payload: 0 JSON, 1 packed JSON, 2 events compressed one by one |
//! | 2 | 2 | number of sources, at least 1 |
//! | 4 | 4 | *n*, at least 1 |
//! | 8 | 8 | position of the first event; the others follow without gaps |
//! | 16 | 8 | time of the first event in microseconds |
//! | 24 | 4 | number of the dictionary for form 2, otherwise 0 |
//! | 28 | 4 | length of the payload |
//! | 32 | 4 | CRC-32 of the payload |
//! | 36 | 2 | number of DIDs |
//! | 38 | 2 | number of collections |
//! | 40 | *n* | kinds |
//! | | *n* or 2*n* | index of each event's DID: one byte each for up to 256 DIDs, otherwise two |
//! | | *n* or 2*n* | index of each event's collection, in the same way |
//! | | varints | *n* - 1 times, each as the difference from the one before it |
//! | | varints | *n* lengths of JSON |
//! | | varints | *n* lengths of compressed events, for form 2 only |
//! | | varints | index of each event's source, only if there is more than one source |
//! | | varints | number of runs of commit parts, then four numbers for each |
//! | | | the verdicts, in version 3 only: see `write_verdicts` |
//! | | | the DIDs: a byte 1 and 15 bytes for `did:plc:`; or a byte 0 and a text |
//! | | | the collections, then the sources: texts, which have their length before them in two bytes |
//! | last | 4 | CRC-32 of all of the above |
//!
//! The header comes first and has one length, so that it can be read without the rest. Columns follow
//! in the order in which a filter wants them, and strings last: a filter looks at each once.

use std::sync::Arc;

use jetwash_event::Micros;

use super::damage::Damage;
use super::index::{Encoding, Index};
use super::input::{Input, SHORT, Width};
use super::output::{write_commit_parts, write_did, write_text, write_varint, write_verdicts};
use super::verdicts::Verdicts;
use crate::event::EventKind;
use crate::seq::Seq;

/// The stored form of a block's index.
pub(crate) fn encode_index(index: &Index) -> Vec<u8> {
    debug_assert!(index.is_consistent(), "columns that do not belong together");
    let events = index.times.len();
    let mut out = Vec::with_capacity(HEADER + events * 10 + index.dids.memory() + 64);
    Header::of(index).write(&mut out);

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
    // Times and ends increase: differences take one byte or two where the numbers take four or eight.
    for pair in index.times.windows(2) {
        if let [before, after] = pair {
            write_varint(&mut out, after.get() - before.get());
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
    if !index.verdicts.are_none() {
        write_verdicts(&mut out, &index.verdicts, events);
    }
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
    let header = Header::read(&mut input)?;
    let events = header.events as usize;
    let (dids, collections) = (header.dids.into(), usize::from(header.collections));
    let sources = usize::from(header.sources);

    // The checksum tells damage, not malice or a bug in what wrote it: every number is still held
    // against what there is, so that no user of an index need do so.
    let kinds = input.take(events)?.iter();
    let kinds = kinds
        .map(|byte| EventKind::from_stored(*byte))
        .collect::<Option<_>>()
        .ok_or(Damage("an event has an unknown kind"))?;
    let did_indexes = input.indexes(events, dids, header.width(dids))?;
    let collection_indexes = input.indexes(events, collections, header.width(collections))?;
    let times = input.times(events, header.first_time)?;
    let json_ends = input.ends(events)?;
    let compressed_ends = match header.encoding {
        Encoding::Compressed { .. } => input.ends(events)?,
        Encoding::Json | Encoding::PackedJson => Arc::from([]),
    };
    let source_indexes = match sources {
        0 => return Err(Damage("the block has no table of sources")),
        1 => Vec::new(),
        _ => input.short_indexes(events, sources)?,
    };
    let index = Index {
        first_seq: header.first_seq,
        encoding: header.encoding,
        times,
        kinds,
        did_indexes,
        collection_indexes,
        source_indexes,
        commit_parts: input.commit_parts(events)?,
        verdicts: match header.version {
            WITH_VERDICTS => input.verdicts(events)?,
            _ => Verdicts::default(),
        },
        json_ends,
        compressed_ends,
        dids: input.did_table(dids)?,
        collections: input.text_table(collections)?,
        sources: input.text_table(sources)?,
        payload_len: header.payload_len,
        payload_crc: header.payload_crc,
    };
    if !input.0.is_empty() {
        return Err(Damage("the index has bytes left over"));
    }
    debug_assert!(index.is_consistent(), "read, and not what is relied on");
    Ok(index)
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

/// The part of an index that has the same length in every block.
struct Header {
    version: u8,
    encoding: Encoding,
    sources: u16,
    events: u32,
    first_seq: Seq,
    first_time: Micros,
    payload_len: u32,
    payload_crc: u32,
    dids: u16,
    collections: u16,
}

impl Header {
    fn of(index: &Index) -> Self {
        Self {
            version: if index.verdicts.are_none() {
                BLOCK_VERSION
            } else {
                WITH_VERDICTS
            },
            encoding: index.encoding,
            sources: index.sources.len() as u16,
            events: index.times.len() as u32,
            first_seq: index.first_seq,
            first_time: index.first_time(),
            payload_len: index.payload_len,
            payload_crc: index.payload_crc,
            dids: index.dids.len() as u16,
            collections: index.collections.len() as u16,
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        let (encoding, dictionary) = match self.encoding {
            Encoding::Json => (JSON, 0),
            Encoding::PackedJson => (PACKED_JSON, 0),
            Encoding::Compressed { dictionary } => (COMPRESSED, dictionary),
        };
        out.extend_from_slice(&[self.version, encoding]);
        out.extend_from_slice(&self.sources.to_le_bytes());
        out.extend_from_slice(&self.events.to_le_bytes());
        out.extend_from_slice(&self.first_seq.get().to_le_bytes());
        out.extend_from_slice(&self.first_time.get().to_le_bytes());
        out.extend_from_slice(&dictionary.to_le_bytes());
        out.extend_from_slice(&self.payload_len.to_le_bytes());
        out.extend_from_slice(&self.payload_crc.to_le_bytes());
        out.extend_from_slice(&self.dids.to_le_bytes());
        out.extend_from_slice(&self.collections.to_le_bytes());
        debug_assert_eq!(out.len(), HEADER, "the header has one length");
    }

    fn read(input: &mut Input<'_>) -> Result<Self, Damage> {
        let [version, encoding] = input.array()?;
        if !matches!(version, WIDE_INDEXES | BLOCK_VERSION | WITH_VERDICTS) {
            return Err(Damage("the block has an unknown version"));
        }
        let sources = u16::from_le_bytes(input.array()?);
        let events = input.u32()?;
        let first_seq = u64::from_le_bytes(input.array()?);
        let first_time = u64::from_le_bytes(input.array()?);
        let dictionary = input.u32()?;
        let encoding = match encoding {
            JSON => Encoding::Json,
            PACKED_JSON => Encoding::PackedJson,
            COMPRESSED => Encoding::Compressed { dictionary },
            _ => return Err(Damage("the payload has an unknown form")),
        };
        // A block is never empty, and its positions are positions: everything else relies on that.
        if events == 0 || first_seq.checked_add(events.into()).is_none() {
            return Err(Damage("the index has an impossible number of events"));
        }
        Ok(Self {
            version,
            encoding,
            sources,
            events,
            first_seq: Seq::new(first_seq),
            first_time: Micros::new(first_time),
            payload_len: input.u32()?,
            payload_crc: input.u32()?,
            dids: u16::from_le_bytes(input.array()?),
            collections: u16::from_le_bytes(input.array()?),
        })
    }

    /// How wide the indexes into a table are.
    const fn width(&self, strings: usize) -> Width {
        match self.version {
            WIDE_INDEXES => Width::Two,
            _ => Width::of(strings),
        }
    }
}

const BLOCK_VERSION: u8 = 2;
/// Blocks of this version take two bytes for the index of a string, however few there are.
const WIDE_INDEXES: u8 = 1;
/// Blocks of this version have a column of verdicts. Where all are 0 it is left out, so that an
/// unverified block is what it was before there were verdicts.
const WITH_VERDICTS: u8 = 3;
const HEADER: usize = 40;
const CHECKSUM: usize = 4;

const JSON: u8 = 0;
const PACKED_JSON: u8 = 1;
const COMPRESSED: u8 = 2;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::block::commit_parts::{CommitParts, CommitRun};
    use crate::block::table::StringTable;
    use crate::event::CommitPart;

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

    /// An index of version 3: the same, and the verdicts 1, 0x41 and 1.
    const RECORDED_3: &str = "\
        0302020003000000e80300000000000000401e18240a06004d00000005000000b331b60802000200\
        01040300010000010001ac02078201f0a2040200030001000200010204010103ac020001410101cf\
        f48f9c786b15e8eb59d7cfe9d6910013006469643a7765623a6578616d706c652e636f6d12006170\
        702e62736b792e666565642e706f7374000010007773733a2f2f612e6578616d706c652f00007157\
        4c08";

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
            first_seq: Seq::new(1_000),
            encoding: Encoding::Compressed { dictionary: 77 },
            times: vec![
                Micros::new(1_700_000_000_000_000),
                Micros::new(1_700_000_000_000_001),
                Micros::new(1_700_000_000_000_301),
            ],
            kinds: vec![EventKind::Create, EventKind::Identity, EventKind::Delete],
            did_indexes: vec![0, 1, 0],
            collection_indexes: vec![0, 1, 0],
            source_indexes: vec![0, 1, 0],
            commit_parts: commit_parts(),
            verdicts: Verdicts::default(),
            json_ends: Arc::from([7, 137, 70_137]),
            compressed_ends: Arc::from([2, 2, 5]),
            dids: table(["did:plc:z72i7hdynmk6r22z27h6tvur", "did:web:example.com"]),
            collections: table(["app.bsky.feed.post", ""]),
            sources: table(["wss://a.example/", ""]),
            payload_len: 5,
            payload_crc: 146158003,
        }
    }

    fn expected_3() -> Index {
        Index {
            verdicts: Verdicts::new(vec![1, 0x41, 1]),
            ..expected()
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
        assert_eq!(decode_index(&bytes(RECORDED_3)), Ok(expected_3()));
    }

    #[test]
    fn an_index_is_written_as_recorded() {
        assert_eq!(encode_index(&expected()), recorded());
        assert_eq!(encode_index(&expected_3()), bytes(RECORDED_3));
    }

    #[test]
    fn verdicts_that_do_not_fit_are_refused() {
        let mut bytes = bytes(RECORDED_3);
        let column = bytes
            .windows(4)
            .position(|four| four == [0, 1, 0x41, 1])
            .unwrap();
        // One run, which begins at the event 0x41.
        bytes[column] = 2;
        let body = bytes.len() - CHECKSUM;
        let checksum = crc32fast::hash(&bytes[..body]).to_le_bytes();
        bytes[body..].copy_from_slice(&checksum);
        let refused = Damage("a verdict is of events that the block does not have");
        assert_eq!(decode_index(&bytes), Err(refused));
    }

    #[test]
    fn a_payload_must_be_what_was_written() {
        assert_eq!(check_payload(&expected(), b"F1F22"), Ok(()));
        assert!(check_payload(&expected(), b"F1F23").is_err());
        assert!(check_payload(&expected(), b"F1F2").is_err());
    }

    fn any_recorded() -> impl Strategy<Value = &'static str> {
        prop::sample::select(&[RECORDED, RECORDED_1, RECORDED_3])
    }

    proptest! {
        #[test]
        fn a_changed_byte_is_noticed(
            digits in any_recorded(),
            at in any::<prop::sample::Index>(),
            bits in 1..=u8::MAX,
        ) {
            let mut bytes = bytes(digits);
            let at = at.index(bytes.len());
            bytes[at] ^= bits;
            prop_assert!(decode_index(&bytes).is_err());
        }

        #[test]
        fn an_index_cut_short_is_noticed(
            digits in any_recorded(),
            length in any::<prop::sample::Index>(),
        ) {
            let bytes = bytes(digits);
            prop_assert!(decode_index(&bytes[..length.index(bytes.len())]).is_err());
        }

        /// With a checksum that fits, only the reader's own care is left.
        #[test]
        fn nothing_makes_the_reader_panic(
            digits in any_recorded(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        ) {
            let mut bytes = bytes(digits);
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
                prop_assert!(index.verdicts.fit(index.times.len()));
            }
        }
    }
}
