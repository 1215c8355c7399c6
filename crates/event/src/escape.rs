//! JSON strings as Go's encoder writes them, with HTML escaping on.

/// Appends `text` as a JSON string, quotes included.
#[inline]
pub(crate) fn write_string(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    if is_plain(bytes) {
        out.extend_from_slice(bytes);
    } else {
        write_escaped(bytes, out);
    }
    out.push(b'"');
}

/// Whether `bytes`, which are UTF-8, can stand in a JSON string as they are. It may also
/// return `false` where finding out would take longer than escaping.
#[inline]
pub(crate) fn is_plain(bytes: &[u8]) -> bool {
    // Compares of whole arrays, which the compiler turns into a few vector instructions. The last
    // array reaches back over bytes that were looked at before, so that it is whole too.
    if let Some(last) = bytes.last_chunk::<16>() {
        let (chunks, _) = bytes.as_chunks::<16>();
        return chunks.iter().all(all_plain) && all_plain(last);
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        return all_plain(first) & all_plain(last);
    }
    bytes
        .iter()
        .all(|&byte| ESCAPES[usize::from(byte)] == PLAIN)
}

#[inline(always)]
fn all_plain<const N: usize>(chunk: &[u8; N]) -> bool {
    let mut special = 0;
    for &byte in chunk {
        special |= u8::from(byte < 0x20)
            // Two pairs of characters that differ in one bit: `"` and `&`, `<` and `>`.
            | u8::from(byte & !0x04 == b'"')
            | u8::from(byte & !0x02 == b'<')
            | u8::from(byte == b'\\')
            | u8::from(byte == LINE_SEPARATOR_LEAD);
    }
    special == 0
}

fn write_escaped(bytes: &[u8], out: &mut Vec<u8>) {
    // Plain runs are copied whole: `copied` is where the run that has not been copied starts.
    let mut copied = 0;
    let mut position = 0;
    while let Some(&byte) = bytes.get(position) {
        let escape = ESCAPES[usize::from(byte)];
        let length = match escape {
            PLAIN => {
                position += 1;
                continue;
            }
            LINE_SEPARATOR => {
                let &[_, 0x80, last @ (0xa8 | 0xa9), ..] = &bytes[position..] else {
                    position += 1;
                    continue;
                };
                out.extend_from_slice(&bytes[copied..position]);
                out.extend_from_slice(if last == 0xa8 { b"\\u2028" } else { b"\\u2029" });
                3
            }
            UNICODE => {
                out.extend_from_slice(&bytes[copied..position]);
                let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 0xf)]];
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digits[0], digits[1]]);
                1
            }
            letter => {
                out.extend_from_slice(&bytes[copied..position]);
                out.extend_from_slice(&[b'\\', letter]);
                1
            }
        };
        position += length;
        copied = position;
    }
    out.extend_from_slice(&bytes[copied..]);
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// The first byte of U+2028 and U+2029 in UTF-8, and of many other characters.
const LINE_SEPARATOR_LEAD: u8 = 0xe2;

const PLAIN: u8 = 0;
const UNICODE: u8 = 1;
const LINE_SEPARATOR: u8 = 2;

/// For each byte one of the above, or the letter of its short escape.
const ESCAPES: [u8; 256] = {
    let mut table = [PLAIN; 256];
    let mut control = 0;
    while control < 0x20 {
        table[control] = UNICODE;
        control += 1;
    }
    table[b'\n' as usize] = b'n';
    table[b'\r' as usize] = b'r';
    table[b'\t' as usize] = b't';
    table[b'"' as usize] = b'"';
    table[b'\\' as usize] = b'\\';
    table[b'<' as usize] = UNICODE;
    table[b'>' as usize] = UNICODE;
    table[b'&' as usize] = UNICODE;
    table[LINE_SEPARATOR_LEAD as usize] = LINE_SEPARATOR;
    table
};
