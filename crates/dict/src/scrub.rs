//! Removes personal data from a line of JSON, and keeps its shape.

use std::collections::HashMap;

use crate::random::Random;

/// Replaces identifiers, names and texts in lines of JSON by made-up ones of the same shape.
///
/// The keys, numbers, types, collections, languages and media types remain, and the texts that
/// many accounts have in common.
#[derive(Debug, Default)]
pub(crate) struct Scrubber {
    /// For each text, by its hash: the last account that had it, and how many had it.
    common: HashMap<u64, (u64, u32)>,
}

impl Scrubber {
    /// Counts the texts of a line. The lines of one account have to follow each other.
    pub(crate) fn count(&mut self, owner: u64, line: &str) {
        for string in strings(line.as_bytes()) {
            if string.is_value && !KEPT.contains(&string.key) {
                let entry = self.common.entry(hash(string.text)).or_insert((!owner, 0));
                if entry.0 != owner {
                    *entry = (owner, entry.1 + 1);
                }
            }
        }
    }

    /// Returns the line with all personal data replaced.
    pub(crate) fn scrub(&self, line: &str, random: &mut Random) -> String {
        let line = line.as_bytes();
        let mut out = Vec::with_capacity(line.len() + 16);
        let mut copied = 0;
        for string in strings(line) {
            if !string.is_value || KEPT.contains(&string.key) {
                continue;
            }
            out.extend_from_slice(&line[copied..string.start]);
            copied = string.start + string.text.len();
            self.replace(string.key, string.text, random, &mut out);
        }
        out.extend_from_slice(&line[copied..]);
        // Strings are replaced as wholes by ASCII, so the line stays UTF-8.
        let scrubbed = String::from_utf8(out);
        debug_assert!(scrubbed.is_ok(), "scrubbing broke a character");
        scrubbed.unwrap_or_default()
    }

    fn replace(&self, key: &[u8], text: &[u8], random: &mut Random, out: &mut Vec<u8>) {
        if let Some(rest) = text.strip_prefix(b"at://") {
            out.extend_from_slice(b"at://");
            for (index, part) in rest.split(|byte| *byte == b'/').enumerate() {
                if index > 0 {
                    out.push(b'/');
                }
                match index {
                    1 => out.extend_from_slice(part),
                    _ => self.replace_word(part, random, out),
                }
            }
        } else if key == b"$bytes" {
            out.extend(text.iter().map(|_| random.pick(BASE64)));
        } else {
            self.replace_word(text, random, out);
        }
    }

    fn replace_word(&self, text: &[u8], random: &mut Random, out: &mut Vec<u8>) {
        if let Some(id) = text.strip_prefix(b"did:plc:")
            && id.len() == 24
        {
            out.extend_from_slice(b"did:plc:");
            out.extend(id.iter().map(|_| random.pick(BASE32)));
        } else if text.len() == 59 && text.starts_with(b"baf") {
            out.extend_from_slice(&text[..7]);
            out.extend(text[7..].iter().map(|_| random.pick(BASE32)));
        } else if text.len() == 13 && text.iter().all(|byte| SORTABLE.contains(byte)) {
            // The first two digits of a TID say no more than the season.
            out.extend_from_slice(&text[..2]);
            out.extend(text[2..].iter().map(|_| random.pick(SORTABLE)));
        } else if is_datetime(text) {
            // The year does not identify anyone.
            out.extend_from_slice(&text[..4]);
            let digit = |byte: &u8| match byte {
                b'0'..=b'9' => random.pick(DIGITS),
                other => *other,
            };
            out.extend(text[4..].iter().map(digit));
        } else if text == b"self" || is_nsid(text) || self.is_common(text) {
            out.extend_from_slice(text);
        } else {
            write_words(text, random, out);
        }
    }

    fn is_common(&self, text: &[u8]) -> bool {
        let known = self.common.get(&hash(text));
        known.is_some_and(|(_, owners)| *owners >= COMMON)
    }
}

/// The value of the first string with this key, without unescaping it.
pub(crate) fn find<'a>(line: &'a [u8], key: &str) -> Option<&'a [u8]> {
    let mut found = strings(line).filter(|string| string.is_value && string.key == key.as_bytes());
    found.next().map(|string| string.text)
}

/// A hash that is the same in every process.
pub(crate) fn hash(text: &[u8]) -> u64 {
    // FNV-1a, and a stir at the end: the low bits of FNV alone are poor.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in text {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    Random::new(hash).next()
}

/// Writes words of about the same length in place of a text, and an address in place of an address.
fn write_words(text: &[u8], random: &mut Random, out: &mut Vec<u8>) {
    let start = out.len();
    let mut separator: &[u8] = b" ";
    for scheme in [&b"https://"[..], b"http://", b"did:web:"] {
        if text.starts_with(scheme) {
            out.extend_from_slice(scheme);
            out.extend_from_slice(random.word());
            out.extend_from_slice(b".example");
            separator = if scheme.ends_with(b"/") { b"/" } else { b"." };
        }
    }
    if text.ends_with(b".bsky.social") {
        out.extend_from_slice(random.word());
        out.extend_from_slice(b".bsky.social");
        return;
    }
    while out.len() - start < text.len() {
        if out.len() > start {
            out.extend_from_slice(separator);
        }
        out.extend_from_slice(random.word());
    }
}

fn is_datetime(text: &[u8]) -> bool {
    let shape = text.iter().map(|byte| match byte {
        b'0'..=b'9' => b'0',
        other => *other,
    });
    text.len() >= 20 && shape.take(11).eq(*b"0000-00-00T")
}

/// Whether it looks like `app.bsky.feed.post` or `app.bsky.richtext.facet#link`: a name of a type
/// in a reversed domain. Handles end in their top-level domain, and are shorter.
fn is_nsid(text: &[u8]) -> bool {
    let known = [
        &b"app.bsky."[..],
        b"com.atproto.",
        b"chat.bsky.",
        b"community.lexicon.",
    ];
    known.iter().any(|start| text.starts_with(start)) && !text.contains(&b' ')
}

/// A string of the line: where its text starts, and the key that it belongs to.
struct JsonString<'a> {
    start: usize,
    text: &'a [u8],
    key: &'a [u8],
    is_value: bool,
}

/// Iterates over the strings of a line. Input that is not JSON does no harm.
fn strings(line: &[u8]) -> impl Iterator<Item = JsonString<'_>> {
    let (mut position, mut key) = (0, &b""[..]);
    std::iter::from_fn(move || {
        let start = position + line[position..].iter().position(|byte| *byte == b'"')? + 1;
        let mut end = start;
        while *line.get(end)? != b'"' {
            end += if line[end] == b'\\' { 2 } else { 1 };
        }
        position = end + 1;
        let text = &line[start..end];
        let is_value = line.get(position) != Some(&b':');
        if !is_value {
            key = text;
        }
        Some(JsonString {
            start,
            text,
            key,
            is_value,
        })
    })
}

/// The keys whose values say what an event is and nothing personal.
const KEPT: &[&[u8]] = &[
    b"$type",
    b"collection",
    b"kind",
    b"lang",
    b"langs",
    b"mimeType",
    b"operation",
    b"status",
];

/// A text that this many accounts have is not personal.
const COMMON: u32 = 16;

const BASE32: &[u8] = b"abcdefghijklmnopqrstuvwxyz234567";
const SORTABLE: &[u8] = b"234567abcdefghijklmnopqrstuvwxyz";
const BASE64: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const DIGITS: &[u8] = b"0123456789";
