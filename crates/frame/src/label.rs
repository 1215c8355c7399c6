use jetwash_cbor::{CborReader, Error, ErrorKind};
use smallvec::SmallVec;

use crate::error::{FrameError, Part};
use crate::fields::{flag, nullable, read_map, required};
use crate::frame::{ErrorFrame, Unknown, check_length};
use crate::header::{FrameKind, Header};
use crate::label_error::LabelFrameError;
use crate::message::InfoMessage;
use crate::peek::peek;

/// The most labels in a `#labels` message. The lexicon sets no limit; labelers send one or a few.
pub const MAX_LABELS: usize = 1_000;
/// The longest `val` of a label, in bytes (lexicon).
pub const MAX_VALUE_BYTES: usize = 128;
/// The longest `uri` of a label, in bytes: the longest AT URI.
pub const MAX_SUBJECT_BYTES: usize = 8_192;
/// The longest `sig` of a label, in bytes: a signature of AT Protocol has exactly this many.
pub const MAX_SIGNATURE_BYTES: usize = 64;

/// A decoded frame of `com.atproto.label.subscribeLabels`. Everything in it is borrowed from the
/// frame's bytes.
///
/// # Examples
///
/// ```
/// use jetwash_frame::LabelFrame;
///
/// // {"t": "#labels", "op": 1} and {"seq": 7, "labels": [{"cts": …, "src": …, "uri": …, "val": …}]}
/// let mut bytes = b"\xa2\x61t\x67#labels\x62op\x01\xa2\x63seq\x07\x66labels\x81\xa4".to_vec();
/// bytes.extend(b"\x63cts\x742026-07-04T14:38:07Z\x63src\x71did:web:l.example");
/// bytes.extend(b"\x63uri\x71did:web:a.example\x63val\x64spam");
/// let LabelFrame::Labels(message) = LabelFrame::decode(&bytes)? else { panic!("another frame") };
/// assert_eq!(message.seq, 7);
/// let label = message.labels()[0];
/// assert_eq!((label.uri, label.val, label.neg), ("did:web:a.example", "spam", false));
/// # Ok::<(), jetwash_frame::LabelFrameError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(
    clippy::large_enum_variant,
    reason = "nearly every frame has labels, and none is stored"
)]
pub enum LabelFrame<'a> {
    /// An error, after which the labeler closes the stream: `FutureCursor` is the one known.
    Error(ErrorFrame<'a>),
    /// A notice from the labeler: `OutdatedCursor` is the one known.
    Info(InfoMessage<'a>),
    /// Labels, and negations of labels.
    Labels(LabelsMessage<'a>),
    /// A frame of an unknown type, to be ignored.
    Unknown(Unknown<'a>),
}

impl<'a> LabelFrame<'a> {
    /// Decodes both items of a frame and checks that nothing follows them.
    ///
    /// The header's keys may come in any order. Fields that the lexicon does not name are passed
    /// over. Identifiers and times are text here; their syntax is for the caller to check.
    ///
    /// # Errors
    ///
    /// When the bytes are not two strict DAG-CBOR maps, a required field is missing or of another
    /// type, or the frame or a label is beyond a limit.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, LabelFrameError> {
        check_length(bytes)?;
        let (header, mut reader) = Header::read(bytes)?;
        let payload = |source| FrameError::Cbor {
            part: Part::Payload,
            source,
        };
        let frame = match (header.kind(), header.op, header.name) {
            (FrameKind::Error, ..) => Self::Error(ErrorFrame::read(&mut reader)?),
            (FrameKind::Info, ..) => Self::Info(InfoMessage::read(&mut reader)?),
            (_, 1, Some("#labels")) => Self::Labels(LabelsMessage::read(&mut reader)?),
            (_, op, name) => {
                reader.clone().map().map_err(payload)?;
                reader.skip().map_err(payload)?;
                let seq = peek(bytes)?.seq;
                Self::Unknown(Unknown { op, name, seq })
            }
        };
        reader.finish().map_err(payload)?;
        Ok(frame)
    }
}

/// `#labels`: labels that have been made or negated since the message before.
///
/// # Examples
///
/// ```
/// use jetwash_frame::LabelsMessage;
///
/// /// The subjects that a message takes a label away from.
/// fn relieved<'a>(message: &LabelsMessage<'a>, val: &str) -> Vec<&'a str> {
///     let negations = message.labels().iter().filter(|label| label.neg && label.val == val);
///     negations.map(|label| label.uri).collect()
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelsMessage<'a> {
    /// The labeler's sequence number, up to `i64::MAX`.
    pub seq: u64,
    labels: SmallVec<[Label<'a>; 1]>,
}

impl<'a> LabelsMessage<'a> {
    /// The labels, at most [`MAX_LABELS`], in the order in which they apply.
    #[must_use]
    pub fn labels(&self) -> &[Label<'a>] {
        &self.labels
    }

    fn read(reader: &mut CborReader<'a>) -> Result<Self, LabelFrameError> {
        let (mut seq, mut list) = (None, None);
        let mut fault = None;
        read_map(reader, Part::Payload, |key, reader| {
            match key {
                "seq" => seq = Some(natural(reader)?),
                "labels" => match read_labels(reader)? {
                    Ok(labels) => list = Some(labels),
                    Err(error) => fault = Some(error),
                },
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        if let Some(fault) = fault {
            return Err(fault);
        }
        Ok(Self {
            seq: required(seq, Part::Payload, "seq")?,
            labels: required(list, Part::Payload, "labels")?,
        })
    }
}

/// One label: a value that a labeler gives to an account, a record or another subject.
///
/// # Examples
///
/// ```
/// use jetwash_frame::Label;
///
/// fn is_about_an_account(label: &Label<'_>) -> bool {
///     label.uri.starts_with("did:")
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label<'a> {
    /// The version of the schema; 1 is the only one. Some labelers leave it out.
    pub ver: Option<i64>,
    /// The DID of the labeler that made it.
    pub src: &'a str,
    /// The subject: the DID of an account, the AT URI of a record, or another URI.
    pub uri: &'a str,
    /// The version of the record that it is about; `None` for all versions.
    pub cid: Option<&'a str>,
    /// The value, up to [`MAX_VALUE_BYTES`].
    pub val: &'a str,
    /// Whether it takes back the earlier label of the same `src`, `uri` and `val`.
    pub neg: bool,
    /// When it was made.
    pub cts: &'a str,
    /// When it ceases to apply; `None` for never.
    pub exp: Option<&'a str>,
    /// The signature over the DAG-CBOR of all other fields, which this crate does not check.
    pub sig: Option<&'a [u8]>,
}

/// The fields of a label as far as they have been read.
#[derive(Default)]
struct Fields<'a> {
    ver: Option<i64>,
    src: Option<&'a str>,
    uri: Option<&'a str>,
    cid: Option<&'a str>,
    val: Option<&'a str>,
    neg: bool,
    cts: Option<&'a str>,
    exp: Option<&'a str>,
    sig: Option<&'a [u8]>,
}

impl<'a> Fields<'a> {
    fn read(reader: &mut CborReader<'a>) -> Result<Self, Error> {
        let mut fields = Self::default();
        let mut map = reader.map()?;
        while let Some(key) = map.next_key(reader)? {
            match key {
                "cid" => fields.cid = nullable(reader, CborReader::text)?,
                "cts" => fields.cts = Some(reader.text()?),
                "exp" => fields.exp = nullable(reader, CborReader::text)?,
                "neg" => fields.neg = flag(reader)?,
                "sig" => fields.sig = nullable(reader, CborReader::bytes)?,
                "src" => fields.src = Some(reader.text()?),
                "uri" => fields.uri = Some(reader.text()?),
                "val" => fields.val = Some(reader.text()?),
                "ver" => fields.ver = nullable(reader, CborReader::integer)?,
                _ => reader.skip()?,
            }
        }
        Ok(fields)
    }

    /// Checks that nothing is missing or too long.
    fn label(self, index: usize) -> Result<Label<'a>, LabelFrameError> {
        let missing = |field| LabelFrameError::Missing { index, field };
        let label = Label {
            ver: self.ver,
            src: self.src.ok_or_else(|| missing("src"))?,
            uri: self.uri.ok_or_else(|| missing("uri"))?,
            cid: self.cid,
            val: self.val.ok_or_else(|| missing("val"))?,
            neg: self.neg,
            cts: self.cts.ok_or_else(|| missing("cts"))?,
            exp: self.exp,
            sig: self.sig,
        };
        for (field, actual, limit) in [
            ("src", label.src.len(), MAX_DID_BYTES),
            ("uri", label.uri.len(), MAX_SUBJECT_BYTES),
            ("cid", label.cid.map_or(0, str::len), MAX_CID_BYTES),
            ("val", label.val.len(), MAX_VALUE_BYTES),
            ("cts", label.cts.len(), MAX_DATETIME_BYTES),
            ("exp", label.exp.map_or(0, str::len), MAX_DATETIME_BYTES),
            ("sig", label.sig.map_or(0, <[u8]>::len), MAX_SIGNATURE_BYTES),
        ] {
            if actual > limit {
                return Err(LabelFrameError::Limit {
                    index,
                    field,
                    actual,
                    limit,
                });
            }
        }
        Ok(label)
    }
}

type LabelList<'a> = SmallVec<[Label<'a>; 1]>;

/// Reads the list in full. What is wrong with a label beyond its DAG-CBOR is the inner error: the
/// rest of the frame is then still read, because malformed bytes are the graver fault.
fn read_labels<'a>(
    reader: &mut CborReader<'a>,
) -> Result<Result<LabelList<'a>, LabelFrameError>, Error> {
    let count = reader.array()?;
    let mut labels = LabelList::new();
    let mut fault = None;
    if count > MAX_LABELS {
        let (field, unit, actual, limit) = ("labels", "labels", count, MAX_LABELS);
        fault = Some(LabelFrameError::Frame(FrameError::Limit {
            field,
            unit,
            actual,
            limit,
        }));
    }
    for index in 0..count {
        if fault.is_some() {
            reader.skip()?;
            continue;
        }
        match Fields::read(reader)?.label(index) {
            Ok(label) => labels.push(label),
            Err(error) => fault = Some(error),
        }
    }
    Ok(fault.map_or(Ok(labels), Err))
}

/// Reads an integer of the data model from zero up.
fn natural(reader: &mut CborReader<'_>) -> Result<u64, Error> {
    let start = reader.position();
    let number = reader.integer()?;
    u64::try_from(number).map_err(|_| Error {
        offset: start,
        kind: ErrorKind::Type("an unsigned integer"),
    })
}

/// The longest DID (DID specification of AT Protocol).
const MAX_DID_BYTES: usize = 2_048;
/// A CID of AT Protocol has 59 characters; the room is for other hashes and bases.
const MAX_CID_BYTES: usize = 128;
/// The longest datetime (lexicon specification).
const MAX_DATETIME_BYTES: usize = 64;
