use jetwash_cbor::{CborReader, ErrorKind, Item, MapReader};
use smallvec::SmallVec;

use crate::error::{FrameError, Part};
use crate::message::{AccountMessage, CommitMessage, IdentityMessage, InfoMessage, SyncMessage};
use crate::peek::{FrameKind, peek};

/// The largest frame in bytes, everything included (event stream specification).
pub const MAX_FRAME_BYTES: usize = 5_000_000;

/// A decoded frame. Everything in it is borrowed from the frame's bytes.
///
/// # Examples
///
/// ```
/// use jetwash_frame::Frame;
///
/// let bytes = b"\xa1\x62op\x20\xa1\x65error\x6cFutureCursor";
/// let Frame::Error(error) = Frame::decode(bytes)? else { panic!("another frame") };
/// assert_eq!((error.error, error.message), ("FutureCursor", None));
/// # Ok::<(), jetwash_frame::FrameError>(())
/// ```
#[derive(Clone, Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "nearly every frame is a commit, and none is stored"
)]
pub enum Frame<'a> {
    /// The hosting status of an account.
    Account(AccountMessage<'a>),
    /// A change to a repository.
    Commit(CommitMessage<'a>),
    /// An error, after which the relay closes the stream.
    Error(ErrorFrame<'a>),
    /// A DID document or handle may have changed.
    Identity(IdentityMessage<'a>),
    /// A notice from the relay.
    Info(InfoMessage<'a>),
    /// The current state of a repository.
    Sync(SyncMessage<'a>),
    /// A frame of an unknown type, to be ignored.
    Unknown(Unknown<'a>),
}

impl<'a> Frame<'a> {
    /// Decodes both items of a frame and makes sure that nothing follows them.
    ///
    /// The header's keys may come in any order, and a commit may lack `rebase` and `tooBig`, which
    /// then are `false`: some hosts send such frames, and there is only one way to read them.
    /// Fields that the lexicon does not name are passed over. Identifiers and times are text here;
    /// their syntax is for the caller to check.
    ///
    /// # Errors
    ///
    /// When the bytes are not two strict DAG-CBOR maps, a required field is missing or of another
    /// type, or a limit of the protocol is exceeded.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, FrameError> {
        if bytes.len() > MAX_FRAME_BYTES {
            let (actual, limit) = (bytes.len(), MAX_FRAME_BYTES);
            return Err(FrameError::Limit {
                field: "frame",
                unit: "bytes",
                actual,
                limit,
            });
        }
        let (header, mut reader) = Header::read(bytes)?;
        let frame = match header.kind() {
            FrameKind::Account => Self::Account(AccountMessage::read(&mut reader)?),
            FrameKind::Commit => Self::Commit(CommitMessage::read(&mut reader)?),
            FrameKind::Error => Self::Error(ErrorFrame::read(&mut reader)?),
            FrameKind::Identity => Self::Identity(IdentityMessage::read(&mut reader)?),
            FrameKind::Info => Self::Info(InfoMessage::read(&mut reader)?),
            FrameKind::Sync => Self::Sync(SyncMessage::read(&mut reader)?),
            FrameKind::Unknown => {
                let payload = |source| FrameError::Cbor {
                    part: Part::Payload,
                    source,
                };
                reader.clone().map().map_err(payload)?;
                reader.skip().map_err(payload)?;
                Self::Unknown(Unknown {
                    op: header.op,
                    name: header.name,
                    seq: peek(bytes)?.seq,
                })
            }
        };
        reader.finish().map_err(|source| FrameError::Cbor {
            part: Part::Payload,
            source,
        })?;
        Ok(frame)
    }
}

/// What a relay says before it closes the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorFrame<'a> {
    /// The name: `FutureCursor`, `ConsumerTooSlow`, or one that is not known.
    pub error: &'a str,
    /// An explanation for people.
    pub message: Option<&'a str>,
}

impl<'a> ErrorFrame<'a> {
    fn read(reader: &mut CborReader<'a>) -> Result<Self, FrameError> {
        let (mut error, mut message) = (None, None);
        read_map(reader, Part::Payload, |key, reader| {
            match key {
                "error" => error = Some(reader.text()?),
                "message" => message = Some(reader.text()?),
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(Self {
            error: required(error, Part::Payload, "error")?,
            message,
        })
    }
}

/// A frame whose operation or type is not known, or is no longer in the lexicon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unknown<'a> {
    /// The header's operation; 1 for a message.
    pub op: i64,
    /// The header's type, with its `#`.
    pub name: Option<&'a str>,
    /// The sequence number, so that the cursor can move past the frame.
    pub seq: Option<u64>,
}

pub(crate) struct Header<'a> {
    op: i64,
    name: Option<&'a str>,
}

impl<'a> Header<'a> {
    /// Reads the header and gives a reader of what follows it.
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

/// Reads a map, giving each key to `field`, which reads or skips the value.
pub(crate) fn read_map<'a>(
    reader: &mut CborReader<'a>,
    part: Part,
    mut field: impl FnMut(&'a str, &mut CborReader<'a>) -> Result<(), jetwash_cbor::Error>,
) -> Result<(), FrameError> {
    let cbor = |source| FrameError::Cbor { part, source };
    let mut map = reader.map().map_err(cbor)?;
    while let Some(key) = map.next_key(reader).map_err(cbor)? {
        field(key, reader).map_err(cbor)?;
    }
    Ok(())
}

/// Reads a map as [`read_map`] does, but takes its keys in any order: some hosts write the header of
/// a frame as it comes to them. No key may occur twice, so what is meant stays clear.
fn read_map_in_any_order<'a>(
    reader: &mut CborReader<'a>,
    mut field: impl FnMut(&'a str, &mut CborReader<'a>) -> Result<(), jetwash_cbor::Error>,
) -> Result<(), jetwash_cbor::Error> {
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

pub(crate) fn required<T>(
    value: Option<T>,
    part: Part,
    field: &'static str,
) -> Result<T, FrameError> {
    value.ok_or(FrameError::Missing { part, field })
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
