use std::borrow::Cow;

use jetwash_cbor::{CidError, Error as CborError};
use thiserror::Error;

use crate::to_cbor::ToCborError;

/// Why a line has no binary event.
///
/// # Examples
///
/// ```
/// use jetwash_event::{BinaryEncoder, BinaryError};
///
/// let error = BinaryEncoder::new().encode("{}", &mut Vec::new()).unwrap_err();
/// assert!(matches!(error, BinaryError::Line(_)));
/// ```
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum BinaryError {
    /// The record's CID is not a CID.
    #[error("the record's CID: {0}")]
    Cid(CidError),
    /// The line is not that of an event.
    #[error("not the line of an event: {0}")]
    Line(Cow<'static, str>),
    /// The record has no counterpart in DAG-CBOR.
    #[error("the record: {0}")]
    Record(#[from] ToCborError),
}

/// Why bytes are not a binary event.
///
/// # Examples
///
/// ```
/// use jetwash_event::{BinaryEvent, ParseBinaryError};
///
/// let error = BinaryEvent::parse(b"\xa0").unwrap_err();
/// assert_eq!(error, ParseBinaryError::Missing("time"));
/// ```
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseBinaryError {
    /// There is not exactly one of `commit`, `identity`, `account` and `sync`.
    #[error("a binary event has one of `commit`, `identity`, `account` and `sync`")]
    Body,
    /// The bytes are not DAG-CBOR, or something in them has another type.
    #[error("not a binary event: {0}")]
    Cbor(#[from] CborError),
    /// The CID beside the record is not of the form that repositories have.
    #[error("the record's CID: {0}")]
    Cid(#[from] CidError),
    /// A field is not there.
    #[error("a binary event without `{0}`")]
    Missing(&'static str),
    /// An operation that is not known.
    #[error("`op` is not `create`, `update` or `delete`")]
    Operation,
}
