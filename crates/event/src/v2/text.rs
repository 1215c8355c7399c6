use memchr::memchr;

/// Appends a part of a record's JSON with the escapes of version 2: backspace and form feed have
/// short ones.
pub(super) fn copy_escaped(json: &[u8], out: &mut Vec<u8>) {
    copy(json, |_| None, out);
}

/// Appends a string of an event itself, or an object of strings and numbers, as version 2 writes
/// them: unlike in a record, U+2028 and U+2029 are not escaped.
pub(super) fn copy_envelope(json: &[u8], out: &mut Vec<u8>) {
    let separators = |digits: &[u8]| match digits {
        b"2028" => Some("\u{2028}"),
        b"2029" => Some("\u{2029}"),
        _ => None,
    };
    copy(json, separators, out);
}

/// Copies JSON, and writes anew those escapes that differ.
#[inline]
fn copy(mut json: &[u8], other: impl Fn(&[u8]) -> Option<&'static str>, out: &mut Vec<u8>) {
    while let Some(at) = memchr(b'\\', json) {
        let (before, escape) = json.split_at(at);
        out.extend_from_slice(before);
        let new = match escape {
            [_, b'u', digits @ ..] => digits.first_chunk::<4>().and_then(|digits| match digits {
                b"0008" => Some("\\b"),
                b"000c" => Some("\\f"),
                digits => other(digits),
            }),
            _ => None,
        };
        let length = if let Some(new) = new {
            out.extend_from_slice(new.as_bytes());
            6
        } else {
            // With the character after it, which may be a backslash.
            let length = escape.len().min(2);
            out.extend_from_slice(&escape[..length]);
            length
        };
        json = &escape[length..];
    }
    out.extend_from_slice(json);
}

/// The text of a string, given between its quotes.
pub(super) fn unescape(string: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(string.len());
    let mut rest = string;
    while let Some(at) = memchr(b'\\', rest) {
        text.extend_from_slice(&rest[..at]);
        rest = &rest[at + 1..];
        let Some((&letter, after)) = rest.split_first() else {
            break;
        };
        rest = after;
        match letter {
            b'b' => text.push(0x08),
            b'f' => text.push(0x0c),
            b'n' => text.push(b'\n'),
            b'r' => text.push(b'\r'),
            b't' => text.push(b'\t'),
            b'u' => {
                // Lines hold no surrogates: what is beyond 16 bits is not escaped.
                let code = rest
                    .get(..4)
                    .and_then(|digits| str::from_utf8(digits).ok())
                    .and_then(|digits| u32::from_str_radix(digits, 16).ok());
                let character = code.and_then(char::from_u32);
                let character = character.unwrap_or(char::REPLACEMENT_CHARACTER);
                text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                rest = rest.get(4..).unwrap_or_default();
            }
            other => text.push(other),
        }
    }
    text.extend_from_slice(rest);
    text
}
