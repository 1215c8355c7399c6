use jetwash_cbor::Cid;
use thiserror::Error;

use crate::to_cbor::{ToCbor, ToCborError};

/// Regenerates a record's DAG-CBOR from its JSON, and checks it against the record's CID.
///
/// # Errors
///
/// When the JSON leaves something of the record out: see [`RecordCborError`].
pub fn record_cbor(json: &str, cid: &Cid) -> Result<Vec<u8>, RecordCborError> {
    let mut cbor = Vec::new();
    ToCbor::new().encode(json, &mut cbor)?;
    if !cid.matches(&cbor) {
        return Err(RecordCborError::Lossy { cid: *cid });
    }
    Ok(cbor)
}

/// Why an event's record has no DAG-CBOR.
///
/// # Examples
///
/// ```
/// use jetwash_event::{Cid, RecordCborError, record_cbor};
///
/// let cid: Cid = "bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua".parse()?;
/// assert!(record_cbor("{}", &cid).is_ok());
/// assert_eq!(record_cbor(r#"{"a":1}"#, &cid), Err(RecordCborError::Lossy { cid }));
/// # Ok::<(), jetwash_event::CidError>(())
/// ```
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordCborError {
    /// The event carries no record: it is a deletion, or not about a record.
    #[error("the event carries no record")]
    Absent,
    /// The JSON is not that of a record.
    #[error("the record is not valid: {0}")]
    Json(#[from] ToCborError),
    /// The DAG-CBOR made from the JSON has another CID: the record is one of the few whose JSON
    /// leaves something out, such as whether an integer was stored as a float, or a blob's size
    /// below zero.
    #[error("the record {cid} cannot be regenerated, because its JSON leaves something out")]
    Lossy {
        /// The record's CID.
        cid: Cid,
    },
}
