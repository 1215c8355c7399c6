use thiserror::Error;

/// Why a record cannot go into an event, and where in the record.
///
/// Production Jetstream drops such records too, with these differences, which only malformed
/// records show:
///
/// - It has no bound on nesting; here it is [`jetwash_cbor::MAX_DEPTH`], and less for large text
///   ([`RecordErrorKind::Nesting`]).
/// - It wraps an integer outside the signed 64-bit range into a wrong one; here it is an error.
/// - It takes the text of a CID in any base, and base32 with stray bits; here that is base32
///   without such bits, or base58.
/// - It drops a record with an empty byte string in it, for no reason in the data model; here that
///   comes out as `{"$bytes":""}`.
///
/// # Examples
///
/// ```
/// use jetwash_event::{Encoder, RecordErrorKind};
///
/// // An array where a map should be.
/// let error = Encoder::new().record_to_json(b"\x80", &mut Vec::new()).unwrap_err();
/// assert_eq!((error.offset, error.kind), (0, RecordErrorKind::NotAMap));
/// assert_eq!(error.reason(), "record_not_a_map");
/// ```
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("record byte {offset}: {kind}")]
pub struct RecordError {
    /// The position, in bytes from the start of the record, of the item at fault.
    pub offset: usize,
    /// The fault.
    pub kind: RecordErrorKind,
}

impl RecordError {
    /// A short name of the reason, for a counter's label: one of a fixed few.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self.kind {
            RecordErrorKind::Blob => "record_blob",
            RecordErrorKind::Bytes => "record_bytes",
            RecordErrorKind::Cbor(jetwash_cbor::ErrorKind::Depth) | RecordErrorKind::Nesting => {
                "record_too_deep"
            }
            RecordErrorKind::Cbor(_) => "record_malformed",
            RecordErrorKind::EntryCount | RecordErrorKind::KeyLength | RecordErrorKind::Length => {
                "record_over_limit"
            }
            RecordErrorKind::Float => "record_float",
            RecordErrorKind::IntegerRange => "record_integer",
            RecordErrorKind::Link => "record_link",
            RecordErrorKind::NotAMap => "record_not_a_map",
            RecordErrorKind::OutputLength => "output_too_long",
            RecordErrorKind::Type => "record_type",
        }
    }
}

impl From<jetwash_cbor::Error> for RecordError {
    fn from(error: jetwash_cbor::Error) -> Self {
        RecordErrorKind::Cbor(error.kind).at(error.offset)
    }
}

/// The fault of a record.
///
/// # Examples
///
/// ```
/// use jetwash_event::{Encoder, RecordErrorKind};
///
/// // The number 1.5: records have integers only.
/// let record = b"\xa1\x61n\xfb\x3f\xf8\0\0\0\0\0\0";
/// let error = Encoder::new().record_to_json(record, &mut Vec::new()).unwrap_err();
/// assert_eq!(error.kind, RecordErrorKind::Float);
/// ```
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordErrorKind {
    /// A map that claims to be a blob, or has the two fields of an old blob, but is not valid.
    #[error("not a valid blob")]
    Blob,
    /// A map with `$bytes` that has other fields too, or does not hold base64.
    #[error("not a valid `$bytes` map")]
    Bytes,
    /// Not strict DAG-CBOR.
    #[error("{0}")]
    Cbor(jetwash_cbor::ErrorKind),
    /// An array or map of more than 131,072 entries.
    #[error("an array or map of more than 131072 entries")]
    EntryCount,
    /// A number with a fraction, or a float outside the signed 64-bit range.
    #[error("a number that is not an integer")]
    Float,
    /// An integer outside the signed 64-bit range.
    #[error("an integer outside the signed 64-bit range")]
    IntegerRange,
    /// A map key of more than 8192 bytes.
    #[error("a key of more than 8192 bytes")]
    KeyLength,
    /// More than 1 MiB of DAG-CBOR.
    #[error("a record of more than 1048576 bytes")]
    Length,
    /// A map with `$link` that has other fields too, or does not hold a CID.
    #[error("not a valid `$link` map")]
    Link,
    /// Too much text in nested maps: bringing their entries into order would move more than 64 MiB
    /// in all.
    #[error("too much text nested too deeply")]
    Nesting,
    /// The record is not a plain map.
    #[error("the record is not a map")]
    NotAMap,
    /// Its JSON is longer than the caller allows.
    #[error("the record's JSON is longer than the limit")]
    OutputLength,
    /// A `$type` that is not a string, or is empty.
    #[error("`$type` is not a string, or empty")]
    Type,
}

impl RecordErrorKind {
    pub(super) const fn at(self, offset: usize) -> RecordError {
        RecordError { offset, kind: self }
    }
}
