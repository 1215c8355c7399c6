use memchr::memmem::Finder;
use memchr::{memchr2, memchr2_iter};

use super::text::{copy_escaped, unescape};

/// Writes records as version 2 does. It holds the scratch space.
#[derive(Clone, Debug)]
pub(super) struct RecordPass {
    /// Finds what a blob has.
    blob: Finder<'static>,
    entries: Vec<Entry>,
    scratch: Vec<u8>,
}

/// One entry of a map that has been written.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Where its key is in the record, without the quotes.
    key: (usize, usize),
    /// Whether the key has escapes.
    is_escaped: bool,
    /// Where the entry is in the output, with the comma after it.
    start: usize,
    end: usize,
}

impl RecordPass {
    /// Whether a record's bytes may differ between versions 1 and 2. Nearly all are the same.
    ///
    /// They differ in three ways. Keys are in the order of their escaped text with its quote in
    /// version 1 and of their plain text in version 2, which matters only for characters up to the
    /// quote and for those that are escaped. The fields of a blob are in an order of their own in
    /// version 1. Backspace and form feed have other escapes.
    pub(super) fn may_differ(&self, record: &[u8]) -> bool {
        // Most records are likes and follows, in which nothing is escaped and no text has spaces.
        (has_unusual(record) && may_have_unusual_key(record)) || self.blob.find(record).is_some()
    }

    /// Appends a record. Returns `None` if it is not JSON without spaces, as lines are.
    pub(super) fn write(&mut self, record: &[u8], out: &mut Vec<u8>) -> Option<()> {
        self.entries.clear();
        let end = self.value(record, 0, 0, out)?;
        (end == record.len()).then_some(())
    }

    /// Appends the value that starts at `at`, and returns where it ends.
    fn value(&mut self, json: &[u8], at: usize, depth: usize, out: &mut Vec<u8>) -> Option<usize> {
        match *json.get(at)? {
            b'{' if depth < MAX_DEPTH => self.map(json, at + 1, depth, out),
            b'[' if depth < MAX_DEPTH => self.array(json, at + 1, depth, out),
            b'{' | b'[' => None,
            b'"' => {
                let (end, is_escaped) = string_end(json, at)?;
                if is_escaped {
                    copy_escaped(&json[at..end], out);
                } else {
                    out.extend_from_slice(&json[at..end]);
                }
                Some(end)
            }
            _ => {
                let is_within = |byte: &&u8| !matches!(**byte, b',' | b'}' | b']');
                let length = json[at..].iter().take_while(is_within).count();
                out.extend_from_slice(&json[at..at + length]);
                (length > 0).then_some(at + length)
            }
        }
    }

    fn array(
        &mut self,
        json: &[u8],
        mut at: usize,
        depth: usize,
        out: &mut Vec<u8>,
    ) -> Option<usize> {
        out.push(b'[');
        if json.get(at) == Some(&b']') {
            out.push(b']');
            return Some(at + 1);
        }
        loop {
            at = self.value(json, at, depth + 1, out)?;
            let next = *json.get(at)?;
            out.push(next);
            at += 1;
            match next {
                b',' => {}
                b']' => return Some(at),
                _ => return None,
            }
        }
    }

    /// Entries are written in the order they have, and put into the other one if that differs:
    /// `entries` above `first` belong to this map.
    fn map(
        &mut self,
        json: &[u8],
        mut at: usize,
        depth: usize,
        out: &mut Vec<u8>,
    ) -> Option<usize> {
        out.push(b'{');
        if json.get(at) == Some(&b'}') {
            out.push(b'}');
            return Some(at + 1);
        }
        let first = self.entries.len();
        loop {
            let start = out.len();
            if json.get(at) != Some(&b'"') {
                return None;
            }
            let (key_end, is_escaped) = string_end(json, at)?;
            copy_escaped(&json[at..key_end], out);
            if json.get(key_end) != Some(&b':') {
                return None;
            }
            out.push(b':');
            let key = (at + 1, key_end - 1);
            at = self.value(json, key_end + 1, depth + 1, out)?;
            out.push(b',');
            self.entries.push(Entry {
                key,
                is_escaped,
                start,
                end: out.len(),
            });
            match *json.get(at)? {
                b',' => at += 1,
                b'}' => break,
                _ => return None,
            }
        }
        self.sort(json, first, out);
        self.entries.truncate(first);
        // Over the last comma.
        out.pop();
        out.push(b'}');
        Some(at + 1)
    }

    /// Brings the entries of the innermost map into the order of their keys' text.
    fn sort(&mut self, json: &[u8], first: usize, out: &mut Vec<u8>) {
        let entries = &mut self.entries[first..];
        let key = |entry: &Entry| &json[entry.key.0..entry.key.1];
        let order = |a: &Entry, b: &Entry| {
            if a.is_escaped || b.is_escaped {
                unescape(key(a)).cmp(&unescape(key(b)))
            } else {
                key(a).cmp(key(b))
            }
        };
        let Some(body) = entries.first().map(|entry| entry.start) else {
            return;
        };
        if entries.is_sorted_by(|a, b| order(a, b).is_lt()) {
            return;
        }
        // Stable: of two equal keys, which a record does not have, none would overtake.
        entries.sort_by(order);
        self.scratch.clear();
        self.scratch.extend_from_slice(&out[body..]);
        out.truncate(body);
        for entry in entries {
            out.extend_from_slice(&self.scratch[entry.start - body..entry.end - body]);
        }
    }
}

impl Default for RecordPass {
    fn default() -> Self {
        Self {
            blob: Finder::new(br#""$type":"blob""#),
            entries: Vec::new(),
            scratch: Vec::new(),
        }
    }
}

/// Whether any byte is one that may be in an unusual key or begin an escape.
fn has_unusual(record: &[u8]) -> bool {
    // Of whole arrays, for which the compiler has vector instructions.
    let is_unusual = |byte: u8| (byte < b'"') | (byte == b'\\');
    let any = |chunk: &[u8]| {
        chunk
            .iter()
            .fold(false, |any, &byte| any | is_unusual(byte))
    };
    let (chunks, rest) = record.as_chunks::<32>();
    chunks.iter().any(|chunk| any(chunk)) || any(rest)
}

/// Whether there is a key whose place may differ, or an escape that does.
fn may_have_unusual_key(record: &[u8]) -> bool {
    // Each key ends in a quote and a colon. Text that looks so is taken for a key, which costs time
    // but is not wrong.
    memchr2_iter(b':', b'\\', record).any(|at| {
        let (before, rest) = record.split_at(at);
        if rest.first() == Some(&b'\\') {
            return rest.starts_with(br"\u0008") || rest.starts_with(br"\u000c");
        }
        let Some((b'"', before)) = before.split_last() else {
            return false;
        };
        let is_usual = |byte: &&u8| **byte > b'"' && **byte != b'\\';
        let key = before.iter().rev().take_while(is_usual).count();
        let before = &before[..before.len() - key];
        !before.ends_with(b"\"") || before.ends_with(b"\\\"")
    })
}

/// Returns where the string that starts at `at` ends, and whether it has escapes.
fn string_end(json: &[u8], at: usize) -> Option<(usize, bool)> {
    let mut from = at + 1;
    let mut is_escaped = false;
    loop {
        let found = from + memchr2(b'"', b'\\', json.get(from..)?)?;
        if json[found] == b'"' {
            return Some((found + 1, is_escaped));
        }
        is_escaped = true;
        from = found + 2;
    }
}

/// Deeper than any record that the encoder takes.
const MAX_DEPTH: usize = 2 * jetwash_cbor::MAX_DEPTH;
