use crate::cid::Cid;

/// Writes DAG-CBOR in its shortest form.
///
/// The caller writes map keys in canonical order (shorter first, then by their bytes) and exactly
/// the number of items that a container's head announced; the writer checks neither.
///
/// # Examples
///
/// ```
/// use jetwash_cbor::CborWriter;
///
/// let mut writer = CborWriter::new();
/// writer.array(2).unsigned(1).text("a");
/// assert_eq!(writer.into_bytes(), [0x82, 0x01, 0x61, b'a']);
/// ```
#[derive(Clone, Debug, Default)]
pub struct CborWriter {
    bytes: Vec<u8>,
}

impl CborWriter {
    /// Makes a writer that has written nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: Vec::new() }
    }

    /// Writes the head of an array of `length` items.
    pub fn array(&mut self, length: usize) -> &mut Self {
        self.head(4, length as u64)
    }

    /// Writes a boolean.
    pub fn boolean(&mut self, value: bool) -> &mut Self {
        self.bytes.push(if value { 0xf5 } else { 0xf4 });
        self
    }

    /// Writes a byte string.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.head(2, bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// Writes an integer.
    pub fn integer(&mut self, value: i64) -> &mut Self {
        match u64::try_from(value) {
            Ok(value) => self.head(0, value),
            // The bits of -1 - n are those of n inverted.
            Err(_) => self.head(1, !value.cast_unsigned()),
        }
    }

    /// Writes a link.
    pub fn link(&mut self, cid: &Cid) -> &mut Self {
        self.bytes
            .extend_from_slice(&[0xd8, 0x2a, 0x58, 0x25, 0x00]);
        self.bytes.extend_from_slice(cid.as_bytes());
        self
    }

    /// Writes the head of a map of `pairs` pairs.
    pub fn map(&mut self, pairs: usize) -> &mut Self {
        self.head(5, pairs as u64)
    }

    /// Writes `null`.
    pub fn null(&mut self) -> &mut Self {
        self.bytes.push(0xf6);
        self
    }

    /// Writes a text string.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.head(3, text.len() as u64);
        self.bytes.extend_from_slice(text.as_bytes());
        self
    }

    /// Writes an integer from zero up.
    pub fn unsigned(&mut self, value: u64) -> &mut Self {
        self.head(0, value)
    }

    /// Appends bytes that are DAG-CBOR already.
    pub fn raw(&mut self, item: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(item);
        self
    }

    /// Returns the bytes written.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn head(&mut self, major: u8, argument: u64) -> &mut Self {
        write_head(&mut self.bytes, major, argument);
        self
    }
}

/// Appends the head of an item in its shortest form: its major type, from 0 to 7, and the integer,
/// length or count that goes with it.
///
/// Use it to write into bytes that are not a [`CborWriter`]'s.
///
/// # Examples
///
/// ```
/// let mut bytes = Vec::new();
/// jetwash_cbor::write_head(&mut bytes, 4, 1000);
/// assert_eq!(bytes, [0x99, 0x03, 0xe8]);
/// ```
#[inline]
pub fn write_head(out: &mut Vec<u8>, major: u8, argument: u64) {
    let major = major << 5;
    let bytes = argument.to_be_bytes();
    match argument {
        0..=23 => out.push(major | bytes[7]),
        24..=0xff => out.extend_from_slice(&[major | 24, bytes[7]]),
        0x100..=0xffff => {
            out.push(major | 25);
            out.extend_from_slice(&bytes[6..]);
        }
        0x1_0000..=0xffff_ffff => {
            out.push(major | 26);
            out.extend_from_slice(&bytes[4..]);
        }
        _ => {
            out.push(major | 27);
            out.extend_from_slice(&bytes);
        }
    }
}
