//! A record from DAG-CBOR to JSON in one pass.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use jetwash_cbor::{CborReader, Item, Link, MAX_DEPTH, MapReader};
use thiserror::Error;

use crate::escape::write_string;

/// Why a record cannot go into an event, and where in the record.
///
/// Production Jetstream drops such records too, with these differences, all in what no well-meant
/// record has:
///
/// - It has no bound on nesting; here it is [`jetwash_cbor::MAX_DEPTH`], and less for large text
///   ([`RecordErrorKind::Nesting`]).
/// - It wraps an integer outside the signed 64-bit range into a wrong one; here it is an error.
/// - It takes the text of a CID in any base, and base32 with stray bits; here that is base32
///   without such bits, or base58.
/// - It drops a record with an empty byte string in it, for no reason in the data model; here that
///   comes out as `{"$bytes":""}`.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("record byte {offset}: {kind}")]
pub struct RecordError {
    /// The position, in bytes from the start of the record, of the item at fault.
    pub offset: usize,
    /// What is wrong with it.
    pub kind: RecordErrorKind,
}

impl RecordError {
    /// A short name of the reason, for a counter's label: one of a fixed few.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self.kind {
            RecordErrorKind::Blob => "record_blob",
            RecordErrorKind::Bytes => "record_bytes",
            RecordErrorKind::Cbor(jetwash_cbor::ErrorKind::Depth) | RecordErrorKind::Nesting => {
                "record_too_deep"
            }
            RecordErrorKind::Cbor(_) => "record_malformed",
            RecordErrorKind::EntryCount | RecordErrorKind::KeyLength | RecordErrorKind::Length => {
                "record_over_limit"
            }
            RecordErrorKind::Float => "record_float",
            RecordErrorKind::IntegerRange => "record_integer",
            RecordErrorKind::Link => "record_link",
            RecordErrorKind::NotAMap => "record_not_a_map",
            RecordErrorKind::OutputLength => "output_too_long",
            RecordErrorKind::Type => "record_type",
        }
    }
}

impl From<jetwash_cbor::Error> for RecordError {
    fn from(error: jetwash_cbor::Error) -> Self {
        RecordErrorKind::Cbor(error.kind).at(error.offset)
    }
}

/// What is wrong with a record.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordErrorKind {
    /// A map that says it is a blob, or has the two fields of an old one, and is none.
    #[error("not a valid blob")]
    Blob,
    /// A map with `$bytes` that has other fields too, or no base64 in it.
    #[error("not a valid `$bytes` map")]
    Bytes,
    /// Not strict DAG-CBOR.
    #[error("{0}")]
    Cbor(jetwash_cbor::ErrorKind),
    /// An array or map of more than 131,072 entries.
    #[error("an array or map of more than 131072 entries")]
    EntryCount,
    /// A number with a fraction, or a float outside the signed 64-bit range.
    #[error("a number that is no integer")]
    Float,
    /// An integer outside the signed 64-bit range.
    #[error("an integer outside the signed 64-bit range")]
    IntegerRange,
    /// A map key of more than 8192 bytes.
    #[error("a key of more than 8192 bytes")]
    KeyLength,
    /// More than 1 MiB of DAG-CBOR.
    #[error("a record of more than 1048576 bytes")]
    Length,
    /// A map with `$link` that has other fields too, or no CID in it.
    #[error("not a valid `$link` map")]
    Link,
    /// So much text in maps inside maps that bringing their entries into order would take long:
    /// 64 MiB to be moved in all.
    #[error("too much text nested too deeply")]
    Nesting,
    /// The record is something else than a plain map.
    #[error("the record is not a map")]
    NotAMap,
    /// Its JSON is longer than the caller allows.
    #[error("the record's JSON is longer than is allowed here")]
    OutputLength,
    /// A `$type` that is no string, or an empty one.
    #[error("`$type` is not a string, or empty")]
    Type,
}

impl RecordErrorKind {
    const fn at(self, offset: usize) -> RecordError {
        RecordError { offset, kind: self }
    }
}

/// The longest record that is accepted, in bytes of DAG-CBOR. No string in it can be longer, so
/// strings need no limit of their own.
const MAX_LENGTH: usize = 1 << 20;
const MAX_ENTRIES: usize = 128 * 1024;
const MAX_KEY_LENGTH: usize = 8192;

/// How many bytes may change places in one record. A map moves with each map around it, so without
/// a bound a hostile record costs as much as a hundred of its size.
const MAX_MOVED: usize = 64 << 20;

/// The scratch space for writing records.
#[derive(Clone, Debug, Default)]
pub(crate) struct RecordWriter {
    /// The entries of the maps that are being written, outermost first.
    entries: Vec<Entry>,
    /// The text of a map while its entries change places.
    scratch: Vec<u8>,
}

impl RecordWriter {
    /// Appends `record` as JSON, up to about `limit` bytes of `out` in all. After an error, `out`
    /// ends in a part of it.
    #[inline]
    pub(crate) fn write(
        &mut self,
        record: &[u8],
        limit: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), RecordError> {
        if record.len() > MAX_LENGTH {
            return Err(RecordErrorKind::Length.at(MAX_LENGTH));
        }
        self.entries.clear();
        let mut pass = Pass {
            reader: CborReader::new(record),
            record,
            entries: &mut self.entries,
            scratch: &mut self.scratch,
            moved: 0,
            limit,
            out,
        };
        if pass.value(0)? != Shape::Map {
            return Err(RecordErrorKind::NotAMap.at(0));
        }
        Ok(pass.reader.finish()?)
    }
}

/// One entry of a map, written but perhaps not yet in its place.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// The first bytes of the key, in an integer that sorts as they do.
    prefix: u64,
    /// Where its text starts and ends in the output, from the quote to the comma after it.
    start: usize,
    end: usize,
    /// Where its value starts in the record.
    source: usize,
    shape: Shape,
}

/// What has been written, as far as the map around it needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Bytes,
    /// A link, as `{"$link":"…"}`.
    Link,
    Map,
    /// An integer below zero.
    Negative,
    Text,
    /// An integer from zero up.
    Unsigned,
    Other,
}

/// One record on its way.
struct Pass<'r, 'w> {
    reader: CborReader<'r>,
    record: &'r [u8],
    entries: &'w mut Vec<Entry>,
    scratch: &'w mut Vec<u8>,
    moved: usize,
    /// The length of `out` at which it is given up. It is looked at between values, each of which
    /// is at most some six times as long as in the record.
    limit: usize,
    out: &'w mut Vec<u8>,
}

impl Pass<'_, '_> {
    fn value(&mut self, depth: usize) -> Result<Shape, RecordError> {
        let start = self.reader.position();
        match self.reader.item()? {
            Item::Text(text) => {
                write_string(text, self.out);
                Ok(Shape::Text)
            }
            Item::Unsigned(value) => match i64::try_from(value) {
                Ok(value) => Ok(self.integer(value)),
                Err(_) => Err(RecordErrorKind::IntegerRange.at(start)),
            },
            Item::Negative(value) => match i64::try_from(value) {
                Ok(value) => Ok(self.integer(-1 - value)),
                Err(_) => Err(RecordErrorKind::IntegerRange.at(start)),
            },
            Item::Float(value) => match integral(value) {
                Some(value) => Ok(self.integer(value)),
                None => Err(RecordErrorKind::Float.at(start)),
            },
            Item::Boolean(value) => {
                self.out
                    .extend_from_slice(if value { b"true" } else { b"false" });
                Ok(Shape::Other)
            }
            Item::Null => {
                self.out.extend_from_slice(b"null");
                Ok(Shape::Other)
            }
            Item::Link(link) => {
                self.out.extend_from_slice(LINK_HEAD);
                link.write_text(self.out);
                self.out.extend_from_slice(b"\"}");
                Ok(Shape::Link)
            }
            Item::Bytes(bytes) => {
                self.out.extend_from_slice(br#"{"$bytes":""#);
                write_base64(bytes, self.out);
                self.out.extend_from_slice(b"\"}");
                Ok(Shape::Bytes)
            }
            Item::Array(length) => self.array(length, start, depth),
            Item::Map(pairs) => self.map(pairs, start, depth),
        }
    }

    #[inline]
    fn check_length(&self, source: usize) -> Result<(), RecordError> {
        if self.out.len() > self.limit {
            return Err(RecordErrorKind::OutputLength.at(source));
        }
        Ok(())
    }

    fn integer(&mut self, value: i64) -> Shape {
        self.out
            .extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        if value < 0 {
            Shape::Negative
        } else {
            Shape::Unsigned
        }
    }

    fn array(&mut self, length: usize, start: usize, depth: usize) -> Result<Shape, RecordError> {
        check_container(length, start, depth)?;
        self.out.push(b'[');
        for _ in 0..length {
            self.value(depth + 1)?;
            self.check_length(start)?;
            self.out.push(b',');
        }
        self.close(length == 0, b']');
        Ok(Shape::Other)
    }

    fn map(&mut self, pairs: usize, start: usize, depth: usize) -> Result<Shape, RecordError> {
        check_container(pairs, start, depth)?;
        let first = self.entries.len();
        let mut keys = MapReader::new(pairs);
        let mut is_blob = false;
        self.out.push(b'{');
        loop {
            let key_source = self.reader.position();
            let Some(key) = keys.next_key(&mut self.reader)? else {
                break;
            };
            let start = self.out.len();
            let source = self.reader.position();
            write_string(key, self.out);
            self.out.push(b':');
            let shape = match key {
                "$type" => {
                    is_blob = self.type_name(source)?;
                    Shape::Text
                }
                "$link" => return self.link_map(pairs, source),
                "$bytes" => return self.bytes_map(pairs, source),
                _ if key.len() > MAX_KEY_LENGTH => {
                    return Err(RecordErrorKind::KeyLength.at(key_source));
                }
                _ => self.value(depth + 1)?,
            };
            self.check_length(source)?;
            self.out.push(b',');
            self.entries.push(Entry {
                prefix: key_prefix(&self.out[start..]),
                start,
                end: self.out.len(),
                source,
                shape,
            });
        }
        let shape = if is_blob {
            self.blob(first, start)
        } else if pairs == 2 && self.has_keys(first, [b"\"cid\":", b"\"mimeType\":"]) {
            self.old_blob(first, start)
        } else {
            self.sort(first, start)
        };
        self.entries.truncate(first);
        self.close(pairs == 0, b'}');
        shape
    }

    /// Ends a container: over the comma after its last item, if it has one.
    fn close(&mut self, is_empty: bool, bracket: u8) {
        if !is_empty {
            self.out.pop();
        }
        self.out.push(bracket);
    }

    /// The value of a `$type`; gives whether it says that the map is a blob.
    fn type_name(&mut self, source: usize) -> Result<bool, RecordError> {
        match self.reader.item()? {
            Item::Text(name) if !name.is_empty() => {
                write_string(name, self.out);
                Ok(name == "blob")
            }
            _ => Err(RecordErrorKind::Type.at(source)),
        }
    }

    /// The rest of a map whose first key, already written, is `$link`.
    fn link_map(&mut self, pairs: usize, source: usize) -> Result<Shape, RecordError> {
        let fail = RecordErrorKind::Link.at(source);
        let (1, Item::Text(text)) = (pairs, self.reader.item()?) else {
            return Err(fail);
        };
        self.out.push(b'"');
        write_cid(text, self.out).ok_or(fail)?;
        self.out.extend_from_slice(b"\"}");
        Ok(Shape::Link)
    }

    /// The rest of a map whose first key, already written, is `$bytes`.
    fn bytes_map(&mut self, pairs: usize, source: usize) -> Result<Shape, RecordError> {
        let fail = RecordErrorKind::Bytes.at(source);
        let (1, Item::Text(text)) = (pairs, self.reader.item()?) else {
            return Err(fail);
        };
        let bytes = decode_base64(text).ok_or(fail)?;
        self.out.push(b'"');
        write_base64(&bytes, self.out);
        self.out.extend_from_slice(b"\"}");
        Ok(Shape::Bytes)
    }

    /// Brings the entries of a plain map into the order of their written keys.
    ///
    /// The closing quote is part of the key, so a key sorts behind one that goes on with a
    /// space or an exclamation mark.
    fn sort(&mut self, first: usize, start: usize) -> Result<Shape, RecordError> {
        let entries = &mut self.entries[first..];
        let out = &self.out[..];
        // Two keys of a map always differ, at the latest where the shorter has its quote; so
        // what comes after the keys never counts.
        let text = |entry: &Entry| &out[entry.start..entry.end];
        let order = |a: &Entry, b: &Entry| {
            let prefixes = a.prefix.cmp(&b.prefix);
            prefixes.then_with(|| text(a).cmp(text(b)))
        };
        let Some(body) = entries.first().map(|entry| entry.start) else {
            return Ok(Shape::Map);
        };
        if !entries.is_sorted_by(|a, b| order(a, b).is_lt()) {
            entries.sort_unstable_by(order);
            self.place(first, body, start)?;
        }
        Ok(Shape::Map)
    }

    /// A map with the `$type` of a blob: its four fields have an order of their own.
    fn blob(&mut self, first: usize, start: usize) -> Result<Shape, RecordError> {
        let keys: [&[u8]; 4] = [b"\"ref\":", b"\"size\":", b"\"$type\":", b"\"mimeType\":"];
        let is_blob = self.has_keys(first, keys);
        let &mut [link, size, name, mime_type] = &mut self.entries[first..] else {
            return Err(RecordErrorKind::Blob.at(start));
        };
        match (is_blob, link.shape, size.shape, mime_type.shape) {
            (true, Shape::Link, Shape::Unsigned, Shape::Text) => {
                self.entries[first..].copy_from_slice(&[name, link, mime_type, size]);
                self.place(first, link.start, start)?;
            }
            (true, Shape::Link, Shape::Negative, Shape::Text) => {
                let cid = self.take_text(link.source, link.start, mime_type);
                cid.ok_or_else(|| RecordErrorKind::Blob.at(start))?;
            }
            _ => return Err(RecordErrorKind::Blob.at(start)),
        }
        Ok(Shape::Other)
    }

    /// A map of exactly `cid` and `mimeType`: a blob as records of the first days have it.
    fn old_blob(&mut self, first: usize, start: usize) -> Result<Shape, RecordError> {
        let fail = RecordErrorKind::Blob.at(start);
        let &mut [cid, mime_type] = &mut self.entries[first..] else {
            return Err(fail);
        };
        if mime_type.shape != Shape::Text {
            return Err(fail);
        }
        // That of a new blob's link may be a map of one `$link`, this one may not.
        let mut reader = CborReader::new(self.record.get(cid.source..).unwrap_or_default());
        if matches!(reader.item(), Ok(Item::Map(_))) {
            return Err(fail);
        }
        self.take_text(cid.source, cid.start, mime_type)
            .ok_or(fail)?;
        Ok(Shape::Other)
    }

    /// Writes the two fields of an old blob over what starts at `body`: the CID that the record
    /// has at `source`, in whatever form, and the entry `mime_type` as it is.
    fn take_text(&mut self, source: usize, body: usize, mime_type: Entry) -> Option<()> {
        self.scratch.clear();
        self.scratch
            .extend_from_slice(&self.out[mime_type.start..mime_type.end]);
        self.out.truncate(body);
        self.out.extend_from_slice(b"\"cid\":\"");
        let mut reader = CborReader::new(self.record.get(source..)?);
        match reader.item().ok()? {
            Item::Text(text) => write_cid(text, self.out)?,
            Item::Bytes(bytes) => Link::from_bytes(bytes).ok()?.write_text(self.out),
            Item::Link(link) => link.write_text(self.out),
            // The blob's link may itself be a map of one `$link`.
            Item::Map(_) => {
                reader.text().ok()?;
                write_cid(reader.text().ok()?, self.out)?;
            }
            _ => return None,
        }
        self.out.extend_from_slice(b"\",");
        self.out.extend_from_slice(self.scratch);
        Some(())
    }

    /// Whether the entries from `first` on have these keys, quotes and colon included.
    fn has_keys<const N: usize>(&self, first: usize, keys: [&[u8]; N]) -> bool {
        let entries = &self.entries[first..];
        entries.len() == N
            && entries
                .iter()
                .zip(keys)
                .all(|(entry, key)| self.out[entry.start..].starts_with(key))
    }

    /// Writes the text from `body` on anew, in the order that the entries now have.
    fn place(&mut self, first: usize, body: usize, start: usize) -> Result<(), RecordError> {
        self.moved += self.out.len() - body;
        if self.moved > MAX_MOVED {
            return Err(RecordErrorKind::Nesting.at(start));
        }
        self.scratch.clear();
        self.scratch.extend_from_slice(&self.out[body..]);
        self.out.truncate(body);
        for entry in &self.entries[first..] {
            self.out
                .extend_from_slice(&self.scratch[entry.start - body..entry.end - body]);
        }
        Ok(())
    }
}

const LINK_HEAD: &[u8] = br#"{"$link":""#;

const fn check_container(length: usize, start: usize, depth: usize) -> Result<(), RecordError> {
    if depth >= MAX_DEPTH {
        Err(RecordErrorKind::Cbor(jetwash_cbor::ErrorKind::Depth).at(start))
    } else if length > MAX_ENTRIES {
        Err(RecordErrorKind::EntryCount.at(start))
    } else {
        Ok(())
    }
}

/// The first eight bytes of a written entry after its quote.
fn key_prefix(entry: &[u8]) -> u64 {
    if let Some([_, prefix @ ..]) = entry.first_chunk::<9>() {
        return u64::from_be_bytes(*prefix);
    }
    let mut prefix = [0; 8];
    for (to, from) in prefix.iter_mut().zip(entry.iter().skip(1)) {
        *to = *from;
    }
    u64::from_be_bytes(prefix)
}

fn integral(value: f64) -> Option<i64> {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    let fits = (-LIMIT..LIMIT).contains(&value) && value.fract() == 0.0;
    fits.then_some(value as i64)
}

/// Appends the canonical text of the CID that `text` stands for.
///
/// Version 1 in base32 is what AT Protocol allows. Base58 and version 0 are taken too, because
/// the common CID libraries read them without being asked to, and production passes them on.
fn write_cid(text: &str, out: &mut Vec<u8>) -> Option<()> {
    let mut buffer = Vec::new();
    if text.len() == CID_0_LENGTH && text.starts_with("Qm") {
        // Version 0 is a bare SHA-256 multihash, and this is its only text form.
        bs58::decode(text).onto(&mut buffer).ok()?;
        let [0x12, 32, digest @ ..] = &buffer[..] else {
            return None;
        };
        (digest.len() == 32).then_some(())?;
        out.extend_from_slice(text.as_bytes());
    } else if let Some(digits) = text.strip_prefix('z') {
        // Decoding takes time in the square of the length, so that is bounded first.
        (digits.len() <= 2 * Link::MAX_LENGTH).then_some(())?;
        bs58::decode(digits).onto(&mut buffer).ok()?;
        Link::from_bytes(&buffer).ok()?.write_text(out);
    } else {
        Link::from_text(text, &mut buffer).ok()?.write_text(out);
    }
    Some(())
}

const CID_0_LENGTH: usize = 46;

fn write_base64(bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    // Four digits for three bytes, the last group cut to what it needs.
    out.resize(start + (bytes.len() * 4).div_ceil(3), 0);
    let written = BASE64.encode_slice(bytes, &mut out[start..]).unwrap_or(0);
    out.truncate(start + written);
}

fn decode_base64(text: &str) -> Option<Vec<u8>> {
    // Go's decoder passes over line ends.
    if text.contains(['\r', '\n']) {
        BASE64.decode(text.replace(['\r', '\n'], "")).ok()
    } else {
        BASE64.decode(text).ok()
    }
}

pub(crate) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);
