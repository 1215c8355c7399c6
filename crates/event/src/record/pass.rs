use jetwash_cbor::{CborReader, Item, Link, MAX_DEPTH, MapReader};

use super::cid_text::write_cid;
use super::error::{RecordError, RecordErrorKind};
use crate::base64::{decode_base64, write_base64};
use crate::escape::write_string;

const MAX_ENTRIES: usize = 128 * 1024;
const MAX_KEY_LENGTH: usize = 8192;

/// How many bytes may change places in one record. A map moves with each map around it, so without
/// a bound a hostile record would cost as much as a hundred times its size.
const MAX_MOVED: usize = 64 << 20;

/// One entry of a map, written but perhaps not yet in its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// The first bytes of the key, in an integer that sorts as they do.
    prefix: u64,
    /// Where its text starts and ends in the output, from the quote to the comma after it.
    start: usize,
    end: usize,
    /// Where its value starts in the record.
    source: usize,
    shape: Shape,
}

/// The sort of value written, as far as the map around it needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
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

/// One record on its way from DAG-CBOR to JSON.
///
/// Invariant: `out` holds every value read so far as whole JSON, but for the containers that are
/// still open, and `entries` has the entries of the open maps and no others.
pub(super) struct Pass<'r, 'w> {
    pub(super) reader: CborReader<'r>,
    pub(super) record: &'r [u8],
    pub(super) entries: &'w mut Vec<Entry>,
    pub(super) scratch: &'w mut Vec<u8>,
    pub(super) moved: usize,
    /// The length of `out` at which it is given up. It is looked at between values, each of which
    /// is at most some six times as long as in the record.
    pub(super) limit: usize,
    pub(super) out: &'w mut Vec<u8>,
}

impl Pass<'_, '_> {
    pub(super) fn value(&mut self, depth: usize) -> Result<Shape, RecordError> {
        // The data model has no floats. Production writes one with an integral value as that
        // integer and refuses all others, so this does too.
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
        // Values are written at once, in DAG-CBOR's order of keys, which puts shorter ones first;
        // JSON's order is by bytes. So each entry's place in `out` is kept, and only a map whose
        // entries turn out to be out of order is copied. Entries above `first` belong to this map.
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
                // A map with one of these keys has no other, or is an error: so there are no
                // entries to take back.
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

    /// Writes the value of a `$type` and returns whether it makes the map a blob.
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
    /// The closing quote is part of the key, so a key sorts behind one that continues with a
    /// space or an exclamation mark.
    fn sort(&mut self, first: usize, start: usize) -> Result<Shape, RecordError> {
        let entries = &mut self.entries[first..];
        let out = &self.out[..];
        // Two keys of a map always differ, at the latest where the shorter has its quote; so
        // the values never count.
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

    /// A map of exactly `cid` and `mimeType`: a blob as the earliest records have it.
    fn old_blob(&mut self, first: usize, start: usize) -> Result<Shape, RecordError> {
        let fail = RecordErrorKind::Blob.at(start);
        let &mut [cid, mime_type] = &mut self.entries[first..] else {
            return Err(fail);
        };
        if mime_type.shape != Shape::Text {
            return Err(fail);
        }
        // The link of a new blob may be a map of one `$link`; that of an old one may not.
        debug_assert!(cid.source < self.record.len(), "a value beyond the record");
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

    /// Rewrites the text from `body` on in the order that the entries now have.
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
