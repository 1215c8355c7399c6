//! Commits as nearly every relay writes them, peeked at by comparing bytes.
//!
//! Canonical key order puts `ops`, `rev`, `seq` and `repo` first, and in an operation `cid`,
//! `path`, `prev` and `action`. So the account is found by comparing keys that are known beforehand
//! and stepping over values of known lengths. Anything else is left to the reader of DAG-CBOR.

/// The first fields of a commit of the plain form.
pub(crate) struct PlainCommit<'a> {
    pub(crate) seq: u64,
    pub(crate) did: &'a str,
    /// The list of operations as DAG-CBOR.
    pub(crate) ops: &'a [u8],
}

/// Reads the first fields of a commit, or returns `None` if the frame does not have the plain form.
#[inline]
pub(crate) fn read(frame: &[u8]) -> Option<PlainCommit<'_>> {
    let mut rest = Rest(frame.strip_prefix(START)?);
    if !(0xa0..0xb8).contains(&rest.byte()?) {
        return None;
    }
    rest.expect(b"\x63ops")?;
    let ops = rest.ops()?;
    rest.expect(b"\x63rev")?;
    rest.text()?;
    rest.expect(b"\x63seq")?;
    let seq = rest.unsigned()?;
    rest.expect(b"\x64repo")?;
    let did = std::str::from_utf8(rest.text()?).ok()?;
    Some(PlainCommit { seq, did, ops })
}

/// Reads the path of the first operation and returns it with the rest, or `None` if the operation
/// does not have the plain form.
#[inline]
pub(crate) fn first_path(ops: &[u8]) -> Option<(&str, &[u8])> {
    let mut rest = Rest(ops);
    let path = rest.op()?;
    Some((std::str::from_utf8(path).ok()?, rest.0))
}

/// The rest of the frame.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    #[inline]
    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    #[inline]
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    #[inline]
    fn expect<const N: usize>(&mut self, expected: &[u8; N]) -> Option<()> {
        let (found, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        (found == expected).then_some(())
    }

    /// Steps over the list of operations, and returns its bytes.
    #[inline]
    fn ops(&mut self) -> Option<&'a [u8]> {
        let start = self.0;
        let count = match self.byte()? {
            head @ 0x80..0x98 => head & 0x1f,
            0x98 => self.byte().filter(|&count| count >= 24)?,
            _ => return None,
        };
        for _ in 0..count {
            self.op()?;
        }
        start.get(..start.len() - self.0.len())
    }

    /// Steps over an operation, and returns its path.
    #[inline]
    fn op(&mut self) -> Option<&'a [u8]> {
        let has_prev = match self.byte()? {
            0xa3 => false,
            0xa4 => true,
            _ => return None,
        };
        self.expect(b"\x63cid")?;
        self.link()?;
        self.expect(b"\x64path")?;
        let path = self.text()?;
        if has_prev {
            self.expect(b"\x64prev")?;
            self.link()?;
        }
        // `create`, `update` and `delete` are equally long.
        self.expect(b"\x66action\x66")?;
        self.take(6).map(|_| path)
    }

    /// Steps over a link of the usual length, or `null`.
    #[inline]
    fn link(&mut self) -> Option<()> {
        match self.byte()? {
            0xf6 => return Some(()),
            // The rest of the tag, and the head of 37 bytes.
            0xd8 => self.expect(b"\x2a\x58\x25")?,
            _ => return None,
        }
        self.take(37).map(|_| ())
    }

    #[inline]
    fn text(&mut self) -> Option<&'a [u8]> {
        let length = match self.byte()? {
            head @ 0x60..0x78 => head & 0x1f,
            0x78 => self.byte().filter(|&length| length >= 24)?,
            _ => return None,
        };
        self.take(length.into())
    }

    #[inline]
    fn unsigned(&mut self) -> Option<u64> {
        let mut reader = jetwash_cbor::CborReader::new(self.0);
        let number = reader.unsigned().ok()?;
        self.take(reader.position())?;
        Some(number)
    }
}

const START: &[u8] = b"\xa2\x61t\x67#commit\x62op\x01";
