//! The first item of a frame, which names its type.

use jetwash_cbor::{CborReader, ErrorKind, Item, MapReader};
use smallvec::SmallVec;

use crate::error::{FrameError, Part};
use crate::fields::required;

/// The type of a frame.
///
/// # Examples
///
/// ```
/// use jetwash_frame::{FrameKind, peek};
///
/// let peeked = peek(b"\xa1\x62op\x20\xa1\x65error\x6cFutureCursor")?;
/// assert_eq!(peeked.kind, FrameKind::Error);
/// assert_eq!(peeked.kind.as_str(), "error");
/// # Ok::<(), jetwash_frame::FrameError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FrameKind {
    /// `#account`: the hosting status of an account.
    Account,
    /// `#commit`: a change to a repository.
    Commit,
    /// An error frame, after which the relay closes the stream.
    Error,
    /// `#identity`: a DID document or handle may have changed.
    Identity,
    /// `#info`: a notice from the relay.
    Info,
    /// `#sync`: the current state of a repository.
    Sync,
    /// Anything else; such a frame is to be ignored.
    Unknown,
}

impl FrameKind {
    /// The type's name in the lexicon without the `#`; `error` and `unknown` for the others.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Commit => "commit",
            Self::Error => "error",
            Self::Identity => "identity",
            Self::Info => "info",
            Self::Sync => "sync",
            Self::Unknown => "unknown",
        }
    }
}

/// The header of a frame: its operation and type.
pub(crate) struct Header<'a> {
    pub(crate) op: i64,
    pub(crate) name: Option<&'a str>,
}

impl<'a> Header<'a> {
    /// Reads the header and returns a reader of what follows it.
    #[inline]
    pub(crate) fn read(bytes: &'a [u8]) -> Result<(Self, CborReader<'a>), FrameError> {
        // Relays write headers in one way only, so nearly every one is recognised as a whole.
        for (header, name) in HEADERS {
            if bytes.starts_with(header) {
                let header_read = Self {
                    op: OP_MESSAGE,
                    name: Some(name),
                };
                return Ok((header_read, CborReader::starting_at(bytes, header.len())));
            }
        }
        let mut reader = CborReader::new(bytes);
        Ok((Self::read_fields(&mut reader)?, reader))
    }

    #[cold]
    fn read_fields(reader: &mut CborReader<'a>) -> Result<Self, FrameError> {
        let (mut op, mut name) = (None, None);
        let field = |key, reader: &mut CborReader<'a>| {
            match key {
                "t" => name = Some(reader.text()?),
                "op" => op = Some(reader.integer()?),
                _ => reader.skip()?,
            }
            Ok(())
        };
        read_map_in_any_order(reader, field).map_err(|source| FrameError::Cbor {
            part: Part::Header,
            source,
        })?;
        let op = required(op, Part::Header, "op")?;
        if op == OP_MESSAGE {
            required(name, Part::Header, "t")?;
        }
        Ok(Self { op, name })
    }

    pub(crate) fn kind(&self) -> FrameKind {
        match (self.op, self.name) {
            (OP_ERROR, _) => FrameKind::Error,
            (OP_MESSAGE, Some("#account")) => FrameKind::Account,
            (OP_MESSAGE, Some("#commit")) => FrameKind::Commit,
            (OP_MESSAGE, Some("#identity")) => FrameKind::Identity,
            (OP_MESSAGE, Some("#info")) => FrameKind::Info,
            (OP_MESSAGE, Some("#sync")) => FrameKind::Sync,
            _ => FrameKind::Unknown,
        }
    }
}

/// Reads a map as [`read_map`] does, but takes its keys in any order: some hosts write the header
/// of a frame as it comes to them. No key may occur twice, so what is meant stays clear.
fn read_map_in_any_order<'a>(
    reader: &mut CborReader<'a>,
    mut field: impl FnMut(&'a str, &mut CborReader<'a>) -> Result<(), jetwash_cbor::Error>,
) -> Result<(), jetwash_cbor::Error> {
    // Item by item, because a MapReader insists on the canonical order.
    let start = reader.position();
    let Item::Map(pairs) = reader.item()? else {
        let kind = ErrorKind::Type("a map");
        return Err(jetwash_cbor::Error {
            offset: start,
            kind,
        });
    };
    if pairs > UNORDERED_KEYS {
        let mut map = MapReader::new(pairs);
        while let Some(key) = map.next_key(reader)? {
            field(key, reader)?;
        }
        return Ok(());
    }
    let mut seen = SmallVec::<[&str; 4]>::new();
    for _ in 0..pairs {
        let offset = reader.position();
        let fail = |kind| jetwash_cbor::Error { offset, kind };
        let Item::Text(key) = reader.item()? else {
            return Err(fail(ErrorKind::KeyType));
        };
        if seen.contains(&key) {
            return Err(fail(ErrorKind::DuplicateKey));
        }
        seen.push(key);
        field(key, reader)?;
    }
    Ok(())
}

/// Each key is compared with all before it, so maps of more keys than this have to be in order.
const UNORDERED_KEYS: usize = 32;

const OP_MESSAGE: i64 = 1;
const OP_ERROR: i64 = -1;

/// The headers as canonical DAG-CBOR, most frequent first.
const HEADERS: [(&[u8], &str); 4] = [
    (b"\xa2\x61t\x67#commit\x62op\x01", "#commit"),
    (b"\xa2\x61t\x69#identity\x62op\x01", "#identity"),
    (b"\xa2\x61t\x68#account\x62op\x01", "#account"),
    (b"\xa2\x61t\x65#sync\x62op\x01", "#sync"),
];
