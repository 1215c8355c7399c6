//! The keys of what a ring keeps beside its blocks: see `docs/store-format.md`.

use std::collections::BTreeMap;

use crate::gap::GapCause;
use crate::seq::Seq;
use crate::skipped::Skipped;

use bytes::Bytes;

/// The version of everything that is stored. Raised by any change that the one before cannot read.
pub(crate) const FORMAT: u32 = 5;
/// The version of a mirror. A program that does not know what one is would give out positions of its
/// own in another's log; a ring that is no mirror stays what it can read.
pub(crate) const MIRROR_FORMAT: u32 = 6;

/// Whether a store of that version can be read, and written to from now on.
pub(crate) fn is_known(version: &[u8]) -> bool {
    (OLDEST_FORMAT..=MIRROR_FORMAT).any(|known| version == known.to_le_bytes())
}

const OLDEST_FORMAT: u32 = 1;

pub(crate) const VERSION: &[u8] = b"version";
/// The keyspace of all this.
pub(crate) const KEYSPACE: &str = "state";
/// Which log this is.
pub(crate) const LOG: &[u8] = b"log";
/// Which log this is a mirror of.
pub(crate) const MIRROR: &[u8] = b"mirror";
/// The next position and the time of the newest event.
pub(crate) const POSITION: &[u8] = b"position";
/// The position before which everything is dropped, or about to be.
pub(crate) const FLOOR: &[u8] = b"floor";
/// Positions that no event has: pairs of the first, and the one after the last.
pub(crate) const GAPS: &[u8] = b"gaps";
/// Why there are gaps, where it is not that positions were skipped: pairs of the first position, and the
/// cause.
pub(crate) const CAUSES: &[u8] = b"causes";
/// Which dictionary was used from which position on.
pub(crate) const USES: &[u8] = b"uses";
/// The position before which all events are accounted for.
pub(crate) const ACCOUNTS: &[u8] = b"accounts";
const FRAME_LOG: &[u8] = b"frames/log/";
const FRAME_BUCKET: &[u8] = b"frames/bucket/";
const NAMED: &[u8] = b"named/";
const CURSOR: &[u8] = b"cursor/";
const DICTIONARY: &[u8] = b"dictionary/";
const TAIL: &[u8] = b"tail/";
const NOTED: &[u8] = b"noted/";

pub(crate) fn cursor_key(name: &str) -> Vec<u8> {
    [CURSOR, name.as_bytes()].concat()
}

pub(crate) fn cursor_name(key: &[u8]) -> Option<&str> {
    std::str::from_utf8(key.strip_prefix(CURSOR)?).ok()
}

pub(crate) fn named_key(name: &str) -> Vec<u8> {
    [NAMED, name.as_bytes()].concat()
}

pub(crate) fn named_name(key: &[u8]) -> Option<&str> {
    std::str::from_utf8(key.strip_prefix(NAMED)?).ok()
}

pub(crate) fn frame_log_key(id: u32) -> Vec<u8> {
    [FRAME_LOG, &id.to_be_bytes()].concat()
}

pub(crate) fn frame_log_id(key: &[u8]) -> Option<u32> {
    let id = key.strip_prefix(FRAME_LOG)?.try_into().ok()?;
    Some(u32::from_be_bytes(id))
}

pub(crate) fn encode_frame_log(floor: u64, name: &str) -> Bytes {
    [&floor.to_le_bytes(), name.as_bytes()].concat().into()
}

pub(crate) fn frame_bucket_key(number: u64) -> Vec<u8> {
    [FRAME_BUCKET, &number.to_be_bytes()].concat()
}

pub(crate) fn frame_bucket_number(key: &[u8]) -> Option<u64> {
    let number = key.strip_prefix(FRAME_BUCKET)?.try_into().ok()?;
    Some(u64::from_be_bytes(number))
}

pub(crate) fn dictionary_key(id: u32) -> Vec<u8> {
    [DICTIONARY, &id.to_be_bytes()].concat()
}

pub(crate) fn dictionary_id(key: &[u8]) -> Option<u32> {
    let id = key.strip_prefix(DICTIONARY)?.try_into().ok()?;
    Some(u32::from_be_bytes(id))
}

pub(crate) fn noted_key(number: u64) -> Vec<u8> {
    [NOTED, &number.to_be_bytes()].concat()
}

pub(crate) fn noted_number(key: &[u8]) -> Option<u64> {
    let number = key.strip_prefix(NOTED)?.try_into().ok()?;
    Some(u64::from_be_bytes(number))
}

/// The key of a piece of the tail. The numbers start again with each full block, so that what
/// was written before is replaced and no markers of removed keys pile up.
pub(crate) fn tail_key(slot: u32) -> Vec<u8> {
    [TAIL, &slot.to_be_bytes()].concat()
}

pub(crate) fn is_tail(key: &[u8]) -> bool {
    key.starts_with(TAIL)
}

pub(crate) fn encode_numbers(numbers: &[u64]) -> Bytes {
    numbers
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .collect()
}

pub(crate) fn decode_numbers<const N: usize>(bytes: &[u8]) -> Option<[u64; N]> {
    let (numbers, rest) = bytes.as_chunks::<8>();
    let numbers: &[[u8; 8]; N] = numbers.try_into().ok()?;
    rest.is_empty().then(|| numbers.map(u64::from_le_bytes))
}

pub(crate) fn encode_gaps(gaps: &[Skipped]) -> Bytes {
    let numbers = gaps
        .iter()
        .flat_map(|gap| [gap.first.get(), gap.next.get()]);
    encode_numbers(&numbers.collect::<Vec<_>>())
}

pub(crate) fn decode_gaps(bytes: &[u8]) -> Option<Vec<Skipped>> {
    let (pairs, rest) = bytes.as_chunks::<16>();
    let gaps = pairs.iter().map(|pair| {
        let [first, next] = decode_numbers(pair)?;
        Some(Skipped {
            first: Seq::new(first),
            next: Seq::new(next),
            cause: GapCause::Skipped,
        })
    });
    if rest.is_empty() {
        gaps.collect()
    } else {
        None
    }
}

pub(crate) fn encode_causes(gaps: &[Skipped]) -> Bytes {
    let others = gaps.iter().filter(|gap| gap.cause != GapCause::Skipped);
    let numbers = others.flat_map(|gap| [gap.first.get(), u64::from(gap.cause.code())]);
    encode_numbers(&numbers.collect::<Vec<_>>())
}

pub(crate) fn decode_causes(bytes: &[u8]) -> Option<Vec<(Seq, GapCause)>> {
    let (pairs, rest) = bytes.as_chunks::<16>();
    let causes = pairs.iter().map(|pair| {
        let [first, code] = decode_numbers(pair)?;
        let cause = GapCause::from_code(u8::try_from(code).ok()?)?;
        Some((Seq::new(first), cause))
    });
    if rest.is_empty() {
        causes.collect()
    } else {
        None
    }
}

pub(crate) fn encode_uses(uses: &[(Seq, u32)]) -> Bytes {
    let numbers = uses
        .iter()
        .flat_map(|(since, id)| [since.get(), u64::from(*id)]);
    encode_numbers(&numbers.collect::<Vec<_>>())
}

pub(crate) fn decode_uses(bytes: &[u8]) -> Option<Vec<(Seq, u32)>> {
    let (pairs, rest) = bytes.as_chunks::<16>();
    let uses = pairs.iter().map(|pair| {
        let [since, id] = decode_numbers(pair)?;
        Some((Seq::new(since), u32::try_from(id).ok()?))
    });
    if rest.is_empty() {
        uses.collect()
    } else {
        None
    }
}

/// Cursors as they are kept with a block: the position that they belong to, and for each its value,
/// the length of its name, and the name.
pub(crate) fn encode_cursors(next_seq: Seq, cursors: &BTreeMap<String, u64>) -> Bytes {
    let mut bytes = next_seq.get().to_le_bytes().to_vec();
    for (name, value) in cursors {
        let Ok(length) = u16::try_from(name.len()) else {
            continue;
        };
        bytes.extend_from_slice(&value.to_le_bytes());
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(name.as_bytes());
    }
    bytes.into()
}

pub(crate) fn decode_cursors(bytes: &[u8]) -> Option<(Seq, BTreeMap<String, u64>)> {
    let (next_seq, mut rest) = bytes.split_first_chunk()?;
    let mut cursors = BTreeMap::new();
    while !rest.is_empty() {
        let (value, after) = rest.split_first_chunk()?;
        let (length, after) = after.split_first_chunk()?;
        let (name, after) = after.split_at_checked(u16::from_le_bytes(*length).into())?;
        let name = std::str::from_utf8(name).ok()?;
        cursors.insert(name.to_owned(), u64::from_le_bytes(*value));
        rest = after;
    }
    Some((Seq::new(u64::from_le_bytes(*next_seq)), cursors))
}
