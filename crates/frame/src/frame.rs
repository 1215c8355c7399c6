use jetwash_cbor::CborReader;

use crate::error::{FrameError, Part};
use crate::fields::{read_map, required, within};
use crate::header::{FrameKind, Header};
use crate::message::{AccountMessage, CommitMessage, IdentityMessage, InfoMessage, SyncMessage};
use crate::peek::peek;

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
    /// Decodes both items of a frame and checks that nothing follows them.
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
        check_length(bytes)?;
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
                // An unknown payload is checked in full and its fields are forgotten; peek finds
                // `seq`.
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

/// An error that a relay sends before it closes the stream.
///
/// # Examples
///
/// ```
/// use jetwash_frame::Frame;
///
/// let bytes = b"\xa1\x62op\x20\xa1\x65error\x6fConsumerTooSlow";
/// if let Frame::Error(error) = Frame::decode(bytes)? {
///     assert_eq!(error.error, "ConsumerTooSlow");
/// }
/// # Ok::<(), jetwash_frame::FrameError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorFrame<'a> {
    /// The name: `FutureCursor`, `ConsumerTooSlow`, or one that is not known.
    pub error: &'a str,
    /// An explanation for people.
    pub message: Option<&'a str>,
}

impl<'a> ErrorFrame<'a> {
    pub(crate) fn read(reader: &mut CborReader<'a>) -> Result<Self, FrameError> {
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
///
/// # Examples
///
/// ```
/// use jetwash_frame::Frame;
///
/// // {"t": "#later", "op": 1} and {"seq": 9}
/// let bytes = b"\xa2\x61t\x66#later\x62op\x01\xa1\x63seq\x09";
/// let Frame::Unknown(unknown) = Frame::decode(bytes)? else { panic!("another frame") };
/// assert_eq!((unknown.name, unknown.seq), (Some("#later"), Some(9)));
/// # Ok::<(), jetwash_frame::FrameError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unknown<'a> {
    /// The header's operation; 1 for a message.
    pub op: i64,
    /// The header's type, with its `#`.
    pub name: Option<&'a str>,
    /// The sequence number, so that the cursor can move past the frame.
    pub seq: Option<u64>,
}

/// Checks the length of a whole frame.
pub(crate) fn check_length(bytes: &[u8]) -> Result<(), FrameError> {
    within("frame", "bytes", bytes.len(), MAX_FRAME_BYTES)
}
