use thiserror::Error;

/// Why JSON has no counterpart in DAG-CBOR, and where.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("JSON byte {offset}: {kind}")]
pub struct ToCborError {
    /// The position in bytes from the start of the JSON.
    pub offset: usize,
    /// What is wrong there.
    pub kind: ToCborErrorKind,
}

/// What is wrong with JSON that should become DAG-CBOR.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ToCborErrorKind {
    /// A map with `$bytes` that has other fields too, or no base64 in it.
    #[error("not a valid `$bytes` map")]
    Bytes,
    /// Nesting beyond [`jetwash_cbor::MAX_DEPTH`].
    #[error("nested deeper than 128 levels")]
    Depth,
    /// A key that its map has twice.
    #[error("the map has this key twice")]
    DuplicateKey,
    /// A float that is not finite in 64 bits, or zero with a minus: DAG-CBOR has neither.
    #[error("a number that is no 64-bit float of DAG-CBOR: too large, or a negative zero")]
    Float,
    /// An integer outside the signed 64-bit range.
    #[error("an integer outside the signed 64-bit range")]
    IntegerRange,
    /// A map with `$link` that has other fields too, or no CID of version 1 in base32 in it.
    #[error("not a valid `$link` map")]
    Link,
    /// So much in maps inside maps that bringing their entries into order would take long: 64 MiB
    /// to be moved in all.
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
