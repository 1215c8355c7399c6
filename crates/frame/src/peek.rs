use jetwash_cbor::{CborReader, Item};

use crate::error::{FrameError, Part};
use crate::header::{FrameKind, Header};
use crate::plain_commit::{self, PlainCommit};

/// The kind, sequence number and DID that [`peek`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peek<'a> {
    /// The type of frame.
    pub kind: FrameKind,
    /// The sequence number; `#info` and error frames have none.
    pub seq: Option<u64>,
    /// The account: `repo` of a commit, `did` of the others. It is not checked for syntax.
    pub did: Option<&'a str>,
    /// The list of a commit's operations as DAG-CBOR; empty if it has no operations.
    pub(crate) ops: &'a [u8],
}

/// Reads kind, sequence number and DID of a frame, and nothing else.
///
/// Canonical key order puts all three before the blocks, so of a commit only the operations are
/// passed over, by their lengths alone. The rest is not checked: a frame that peeks
/// well may still fail to [decode](crate::Frame::decode).
///
/// # Errors
///
/// When the header or what comes before `seq` and the DID is not DAG-CBOR. Fields that are absent
/// or of another type are `None`, never an error.
///
/// # Examples
///
/// ```
/// use jetwash_frame::{FrameKind, peek};
///
/// let frame = b"\xa2\x61t\x65#info\x62op\x01\xa1\x64name\x6eOutdatedCursor";
/// let peeked = peek(frame)?;
/// assert_eq!((peeked.kind, peeked.seq, peeked.did), (FrameKind::Info, None, None));
/// # Ok::<(), jetwash_frame::FrameError>(())
/// ```
#[inline]
pub fn peek(frame: &[u8]) -> Result<Peek<'_>, FrameError> {
    match plain_commit::read(frame) {
        Some(PlainCommit { seq, did, ops }) => Ok(Peek {
            kind: FrameKind::Commit,
            seq: Some(seq),
            did: Some(did),
            ops,
        }),
        None => peek_any(frame),
    }
}

fn peek_any(frame: &[u8]) -> Result<Peek<'_>, FrameError> {
    let (header, mut reader) = Header::read(frame)?;
    let mut peeked = Peek {
        kind: header.kind(),
        seq: None,
        did: None,
        ops: &[],
    };
    if !matches!(peeked.kind, FrameKind::Error | FrameKind::Info) {
        let cbor = |source| FrameError::Cbor {
            part: Part::Payload,
            source,
        };
        peeked.read_payload(&mut reader).map_err(cbor)?;
    }
    Ok(peeked)
}

impl<'a> Peek<'a> {
    /// The paths of a commit's operations, `collection/rkey` each, read as they are asked for.
    ///
    /// Only their type is checked: they are text. An operation that cannot be read yields an empty
    /// path and ends the list.
    ///
    /// # Examples
    ///
    /// ```
    /// use jetwash_frame::peek;
    ///
    /// // The beginning of a commit; a peek needs no more.
    /// let mut frame = b"\xa2\x61t\x67#commit\x62op\x01\xab\x63ops\x81\xa3".to_vec();
    /// frame.extend(b"\x63cid\xf6\x64path\x76com.example.note/3l3qo\x66action\x66delete");
    /// frame.extend(b"\x63rev\x6d3l3qo2vutsw2b\x63seq\x07\x64repo\x71did:web:a.example");
    /// let peeked = peek(&frame)?;
    /// assert_eq!(peeked.did, Some("did:web:a.example"));
    /// assert!(peeked.paths().eq(["com.example.note/3l3qo"]));
    /// # Ok::<(), jetwash_frame::FrameError>(())
    /// ```
    #[inline]
    pub fn paths(&self) -> impl Iterator<Item = &'a str> {
        let mut reader = CborReader::new(self.ops);
        let (mut left, mut ops) = match reader.array() {
            Ok(count) => {
                let rest = self.ops.get(reader.position()..);
                debug_assert!(rest.is_some(), "a reader beyond its bytes");
                (count, rest.unwrap_or_default())
            }
            // Anything but a list counts as one operation that cannot be read.
            Err(_) => (usize::from(!self.ops.is_empty()), Default::default()),
        };
        std::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            let first = plain_commit::first_path(ops).or_else(|| first_path(ops));
            let (path, rest) = first.unwrap_or_else(|| {
                left = 0;
                Default::default()
            });
            ops = rest;
            Some(path)
        })
    }

    fn read_payload(&mut self, reader: &mut CborReader<'a>) -> Result<(), jetwash_cbor::Error> {
        let mut map = reader.map()?;
        while let Some(key) = map.next_key(reader)? {
            match key {
                "seq" => self.seq = unsigned(reader)?,
                "did" | "repo" => self.did = text(reader)?,
                "ops" => {
                    let start = reader.position();
                    reader.pass_over()?;
                    if self.kind == FrameKind::Commit {
                        self.ops = reader.since(start);
                    }
                }
                _ => reader.pass_over()?,
            }
            if self.seq.is_some() && self.did.is_some() {
                break;
            }
        }
        Ok(())
    }
}

/// Reads the next item if it is an unsigned integer; any other item is passed over.
fn unsigned(reader: &mut CborReader<'_>) -> Result<Option<u64>, jetwash_cbor::Error> {
    match reader.clone().item()? {
        Item::Unsigned(_) => reader.unsigned().map(Some),
        _ => reader.pass_over().map(|()| None),
    }
}

/// Reads the next item if it is text; any other item is passed over.
fn text<'a>(reader: &mut CborReader<'a>) -> Result<Option<&'a str>, jetwash_cbor::Error> {
    match reader.clone().item()? {
        Item::Text(_) => reader.text().map(Some),
        _ => reader.pass_over().map(|()| None),
    }
}

/// The path of the first of some operations, and what follows it; `None` if it cannot be read.
#[cold]
fn first_path(ops: &[u8]) -> Option<(&str, &[u8])> {
    let mut reader = CborReader::new(ops);
    let path = path_of(&mut reader).ok()??;
    Some((path, ops.get(reader.position()..)?))
}

/// The path of the operation that comes next.
fn path_of<'a>(reader: &mut CborReader<'a>) -> Result<Option<&'a str>, jetwash_cbor::Error> {
    let mut path = None;
    let mut map = reader.map()?;
    while let Some(key) = map.next_key(reader)? {
        match key {
            "path" => path = text(reader)?,
            _ => reader.pass_over()?,
        }
    }
    Ok(path)
}
