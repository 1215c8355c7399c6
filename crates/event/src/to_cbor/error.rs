use thiserror::Error;

/// Why JSON has no counterpart in DAG-CBOR, and where.
///
/// # Examples
///
/// ```
/// use jetwash_event::ToCbor;
///
/// let error = ToCbor::new().encode("[1,", &mut Vec::new()).unwrap_err();
/// assert_eq!(error.to_string(), "JSON byte 3: not valid JSON");
/// ```
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("JSON byte {offset}: {kind}")]
pub struct ToCborError {
    /// The position in bytes from the start of the JSON.
    pub offset: usize,
    /// The fault.
    pub kind: ToCborErrorKind,
}

/// Why JSON cannot become DAG-CBOR.
///
/// # Examples
///
/// ```
/// use jetwash_event::{ToCbor, ToCborErrorKind};
///
/// let error = ToCbor::new().encode(r#"{"a":1,"a":2}"#, &mut Vec::new()).unwrap_err();
/// assert_eq!(error.kind, ToCborErrorKind::DuplicateKey);
/// ```
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ToCborErrorKind {
    /// A map with `$bytes` that has other fields too, or does not hold base64.
    #[error("not a valid `$bytes` map")]
    Bytes,
    /// Nesting beyond [`jetwash_cbor::MAX_DEPTH`].
    #[error("nested deeper than 128 levels")]
    Depth,
    /// A key that its map has twice.
    #[error("the map has this key twice")]
    DuplicateKey,
    /// A float that is not finite in 64 bits, or zero with a minus: DAG-CBOR has neither.
    #[error("a number that is not a 64-bit float of DAG-CBOR: too large, or a negative zero")]
    Float,
    /// An integer outside the signed 64-bit range.
    #[error("an integer outside the signed 64-bit range")]
    IntegerRange,
    /// A map with `$link` that has other fields too, or does not hold a CID of version 1 in base32.
    #[error("not a valid `$link` map")]
    Link,
    /// Too much in nested maps: bringing their entries into order would move more than 64 MiB in
    /// all.
    #[error("too much nested too deeply")]
    Nesting,
    /// Not JSON.
    #[error("not valid JSON")]
    Syntax,
}

impl ToCborErrorKind {
    pub(super) const fn at(self, offset: usize) -> ToCborError {
        ToCborError { offset, kind: self }
    }
}
