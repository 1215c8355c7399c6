use base64::Engine;
use jetwash_cbor::{Link, MAX_DEPTH, write_head};

use super::error::{ToCborError, ToCborErrorKind};
use super::scan::{digits_length, plain_length};
use crate::base64::BASE64;

/// How many bytes may change places, see [`ToCborErrorKind::Nesting`].
const MAX_MOVED: usize = 64 << 20;

/// One entry of a map, written but perhaps not yet in its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// The first bytes of the written key, in an integer that sorts as they do.
    prefix: u64,
    start: usize,
    key_end: usize,
    end: usize,
}

/// One value on its way.
pub(super) struct Pass<'j, 'w> {
    pub(super) json: &'j str,
    pub(super) position: usize,
    pub(super) entries: &'w mut Vec<Entry>,
    pub(super) scratch: &'w mut Vec<u8>,
    pub(super) moved: usize,
    pub(super) out: &'w mut Vec<u8>,
}

impl<'j> Pass<'j, '_> {
    pub(super) fn whole(&mut self) -> Result<(), ToCborError> {
        self.value(0)?;
        match self.next_token() {
            None => Ok(()),
            Some(_) => Err(self.syntax()),
        }
    }

    /// Writes the value that comes first, and returns where it ends.
    pub(super) fn first(&mut self) -> Result<usize, ToCborError> {
        self.value(0)?;
        Ok(self.position)
    }

    fn value(&mut self, depth: usize) -> Result<(), ToCborError> {
        match self.next_token() {
            Some(b'"') => self.string(),
            Some(b'{') => self.map(depth),
            Some(b'[') => self.array(depth),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.literal("true", 0xf5),
            Some(b'f') => self.literal("false", 0xf4),
            Some(b'n') => self.literal("null", 0xf6),
            _ => Err(self.syntax()),
        }
    }

    fn literal(&mut self, word: &str, byte: u8) -> Result<(), ToCborError> {
        if !self.rest().starts_with(word.as_bytes()) {
            return Err(self.syntax());
        }
        self.position += word.len();
        self.out.push(byte);
        Ok(())
    }

    /// A string as CBOR text.
    fn string(&mut self) -> Result<(), ToCborError> {
        if let Some(text) = self.plain_string() {
            write_head(self.out, TEXT, text.len() as u64);
            self.out.extend_from_slice(text.as_bytes());
            return Ok(());
        }
        self.unescape()?;
        write_head(self.out, TEXT, self.scratch.len() as u64);
        self.out.extend_from_slice(self.scratch);
        Ok(())
    }

    /// Reads the next string if nothing in it is escaped; otherwise it is left unread.
    fn plain_string(&mut self) -> Option<&'j str> {
        let start = self.position + 1;
        let end = start + plain_length(self.json.as_bytes().get(start..)?);
        if self.json.as_bytes().get(end) != Some(&b'"') {
            return None;
        }
        self.position = end + 1;
        self.json.get(start..end)
    }

    /// Unescapes the next string into the scratch space.
    fn unescape(&mut self) -> Result<(), ToCborError> {
        self.scratch.clear();
        self.position += 1;
        loop {
            let rest = self.rest();
            let plain = plain_length(rest);
            self.scratch.extend_from_slice(&rest[..plain]);
            self.position += plain;
            match rest.get(plain) {
                Some(b'"') => {
                    self.position += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                _ => return Err(self.syntax()),
            }
        }
    }

    fn escape(&mut self) -> Result<(), ToCborError> {
        let byte = match self.rest().get(1) {
            Some(b'u') => return self.unicode_escape(),
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'b') => 0x08,
            Some(b'f') => 0x0c,
            Some(&byte @ (b'"' | b'\\' | b'/')) => byte,
            _ => return Err(self.syntax()),
        };
        self.scratch.push(byte);
        self.position += 2;
        Ok(())
    }

    fn unicode_escape(&mut self) -> Result<(), ToCborError> {
        let first = self.hex_escape()?;
        let code = if (0xd800..0xdc00).contains(&first) {
            // The first half of a surrogate pair, so the second has to follow.
            let second = self.hex_escape()?;
            let low = second.wrapping_sub(0xdc00);
            if low >= 0x400 {
                return Err(self.syntax());
            }
            0x1_0000 + ((first - 0xd800) << 10) + low
        } else {
            first
        };
        let character = char::from_u32(code).ok_or_else(|| self.syntax())?;
        let mut buffer = [0; 4];
        let text = character.encode_utf8(&mut buffer);
        self.scratch.extend_from_slice(text.as_bytes());
        Ok(())
    }

    /// The four digits of `\u....`.
    fn hex_escape(&mut self) -> Result<u32, ToCborError> {
        let &[b'\\', b'u', a, b, c, d, ..] = self.rest() else {
            return Err(self.syntax());
        };
        let mut code = 0;
        for digit in [a, b, c, d] {
            let digit = char::from(digit).to_digit(16);
            code = code << 4 | digit.ok_or_else(|| self.syntax())?;
        }
        self.position += 6;
        Ok(code)
    }

    fn number(&mut self) -> Result<(), ToCborError> {
        let start = self.position;
        let negative = self.rest().first() == Some(&b'-');
        let digits = start + usize::from(negative);
        let end = digits + digits_length(&self.json.as_bytes()[digits..]);
        if end == digits || (end > digits + 1 && self.json.as_bytes()[digits] == b'0') {
            return Err(self.syntax());
        }
        self.position = end;
        if matches!(self.rest().first(), Some(b'.' | b'e' | b'E')) {
            return self.float(start);
        }
        let text = &self.json[start..end];
        let value: i64 = text
            .parse()
            .map_err(|_| ToCborErrorKind::IntegerRange.at(start))?;
        match u64::try_from(value) {
            Ok(value) => write_head(self.out, UNSIGNED, value),
            // The bits of -1 - n are those of n inverted.
            Err(_) => write_head(self.out, NEGATIVE, !value.cast_unsigned()),
        }
        Ok(())
    }

    /// A number from `start` on, of which the digits before the point have been read.
    fn float(&mut self, start: usize) -> Result<(), ToCborError> {
        if self.rest().first() == Some(&b'.') {
            self.position += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.rest().first() {
            self.position += 1;
            if let Some(b'+' | b'-') = self.rest().first() {
                self.position += 1;
            }
            self.digits()?;
        }
        let value: f64 = self.json[start..self.position]
            .parse()
            .map_err(|_| ToCborErrorKind::Syntax.at(start))?;
        if !value.is_finite() || value == 0.0 && value.is_sign_negative() {
            return Err(ToCborErrorKind::Float.at(start));
        }
        self.out.push(FLOAT);
        self.out.extend_from_slice(&value.to_be_bytes());
        Ok(())
    }

    fn digits(&mut self) -> Result<(), ToCborError> {
        let length = digits_length(self.rest());
        if length == 0 {
            return Err(self.syntax());
        }
        self.position += length;
        Ok(())
    }

    fn array(&mut self, depth: usize) -> Result<(), ToCborError> {
        self.check_depth(depth)?;
        let head = self.open();
        let mut items = 0;
        if self.next_token() == Some(b']') {
            self.position += 1;
            return self.close(head, ARRAY, items);
        }
        loop {
            self.value(depth + 1)?;
            items += 1;
            match self.next_token() {
                Some(b',') => self.position += 1,
                Some(b']') => break,
                _ => return Err(self.syntax()),
            }
        }
        self.position += 1;
        self.close(head, ARRAY, items)
    }

    fn map(&mut self, depth: usize) -> Result<(), ToCborError> {
        self.check_depth(depth)?;
        // The number of pairs is not known yet, so a byte is left for the head. Values are written
        // as they come; the entries above `first` say where, and are sorted at the end.
        let source = self.position;
        let first = self.entries.len();
        let head = self.open();
        if self.next_token() == Some(b'}') {
            self.position += 1;
            return self.close(head, MAP, 0);
        }
        loop {
            if self.next_token() != Some(b'"') {
                return Err(self.syntax());
            }
            let start = self.out.len();
            self.string()?;
            let key_end = self.out.len();
            if self.next_token() != Some(b':') {
                return Err(self.syntax());
            }
            self.position += 1;
            match &self.out[start..] {
                b"\x65$link" => return self.link(head, first),
                b"\x66$bytes" => return self.bytes(head, first),
                _ => self.value(depth + 1)?,
            }
            self.entries.push(Entry {
                prefix: prefix(&self.out[start..key_end]),
                start,
                key_end,
                end: self.out.len(),
            });
            match self.next_token() {
                Some(b',') => self.position += 1,
                Some(b'}') => break,
                _ => return Err(self.syntax()),
            }
        }
        self.position += 1;
        self.sort(first, head + 1, source)?;
        let pairs = self.entries.len() - first;
        self.entries.truncate(first);
        self.close(head, MAP, pairs)
    }

    /// The rest of a map whose key `$link` has been read: the link replaces the whole map.
    fn link(&mut self, head: usize, first: usize) -> Result<(), ToCborError> {
        let fail = ToCborErrorKind::Link.at(self.position);
        let text = self.only_string(first).ok_or(fail)?;
        let link = Link::from_text(text, self.scratch).map_err(|_| fail)?;
        self.out.truncate(head);
        self.out.extend_from_slice(&LINK_TAG);
        write_head(self.out, BYTES, link.as_bytes().len() as u64 + 1);
        self.out.push(0);
        self.out.extend_from_slice(link.as_bytes());
        Ok(())
    }

    /// The rest of a map whose key `$bytes` has been read.
    fn bytes(&mut self, head: usize, first: usize) -> Result<(), ToCborError> {
        let fail = ToCborErrorKind::Bytes.at(self.position);
        let text = self.only_string(first).ok_or(fail)?;
        self.scratch.clear();
        BASE64
            .decode_vec(text.trim_end_matches('='), self.scratch)
            .map_err(|_| fail)?;
        self.out.truncate(head);
        write_head(self.out, BYTES, self.scratch.len() as u64);
        self.out.extend_from_slice(self.scratch);
        Ok(())
    }

    /// The value of a map's only entry, if it is a string and nothing follows it.
    fn only_string(&mut self, first: usize) -> Option<&'j str> {
        if self.entries.len() != first || self.next_token() != Some(b'"') {
            return None;
        }
        let text = self.plain_string()?;
        let is_last = self.next_token() == Some(b'}');
        self.position += 1;
        is_last.then_some(text)
    }

    /// Brings the entries of a map into canonical order: that of their keys as they are written,
    /// because the length comes first there.
    fn sort(&mut self, first: usize, body: usize, source: usize) -> Result<(), ToCborError> {
        // Prefixes decide nearly every comparison, without a look at the keys.
        let entries = &mut self.entries[first..];
        let out = &self.out[..];
        let key = |entry: &Entry| &out[entry.start..entry.key_end];
        let order = |a: &Entry, b: &Entry| {
            let prefixes = a.prefix.cmp(&b.prefix);
            prefixes.then_with(|| key(a).cmp(key(b)))
        };
        if entries.is_sorted_by(|a, b| order(a, b).is_lt()) {
            return Ok(());
        }
        entries.sort_unstable_by(order);
        if entries
            .windows(2)
            .any(|pair| key(&pair[0]) == key(&pair[1]))
        {
            return Err(ToCborErrorKind::DuplicateKey.at(source));
        }
        self.count_moved(body, source)?;
        self.scratch.clear();
        self.scratch.extend_from_slice(&self.out[body..]);
        self.out.truncate(body);
        for entry in &self.entries[first..] {
            let text = &self.scratch[entry.start - body..entry.end - body];
            self.out.extend_from_slice(text);
        }
        Ok(())
    }

    /// Leaves room for a container's head, whose length is not known yet.
    fn open(&mut self) -> usize {
        let head = self.out.len();
        self.position += 1;
        self.out.push(0);
        head
    }

    fn close(&mut self, head: usize, major: u8, length: usize) -> Result<(), ToCborError> {
        if length < 24 {
            self.out[head] = major << 5 | length as u8;
            return Ok(());
        }
        self.count_moved(head, self.position)?;
        self.scratch.clear();
        write_head(self.scratch, major, length as u64);
        self.out.splice(head..=head, self.scratch.iter().copied());
        Ok(())
    }

    fn count_moved(&mut self, from: usize, source: usize) -> Result<(), ToCborError> {
        self.moved += self.out.len() - from;
        if self.moved > MAX_MOVED {
            return Err(ToCborErrorKind::Nesting.at(source));
        }
        Ok(())
    }

    const fn check_depth(&self, depth: usize) -> Result<(), ToCborError> {
        if depth >= MAX_DEPTH {
            return Err(ToCborErrorKind::Depth.at(self.position));
        }
        Ok(())
    }

    /// Moves to the next byte that is not white space and returns it.
    #[inline]
    fn next_token(&mut self) -> Option<u8> {
        loop {
            match self.json.as_bytes().get(self.position) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.position += 1,
                byte => return byte.copied(),
            }
        }
    }

    fn rest(&self) -> &'j [u8] {
        let rest = self.json.as_bytes().get(self.position..);
        debug_assert!(rest.is_some(), "a position beyond the JSON");
        rest.unwrap_or_default()
    }

    const fn syntax(&self) -> ToCborError {
        ToCborErrorKind::Syntax.at(self.position)
    }
}

const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const LINK_TAG: [u8; 2] = [0xd8, 0x2a];
const FLOAT: u8 = 0xfb;

/// The first eight bytes of a written key.
fn prefix(key: &[u8]) -> u64 {
    if let Some(prefix) = key.first_chunk() {
        return u64::from_be_bytes(*prefix);
    }
    let mut prefix = [0; 8];
    prefix[..key.len()].copy_from_slice(key);
    u64::from_be_bytes(prefix)
}
