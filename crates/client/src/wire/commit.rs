use jetwash_event::{Operation, ParseRecordError};
use serde::de::DeserializeOwned;

/// One operation on a record, borrowed from a [`ClientEvent`](crate::ClientEvent).
///
/// # Examples
///
/// ```
/// use jetwash_client::{ClientEvent, Protocol};
///
/// let line = concat!(
///     r#"{"did":"did:web:a.example","time_us":1,"kind":"commit","commit":{"#,
///     r#""rev":"3l3qo2vutsw2b","operation":"create","collection":"app.bsky.graph.follow","#,
///     r#""rkey":"3l3qo2vuowo2b","record":{"subject":"did:web:b.example"},"#,
///     r#""cid":"bafyreib25swk3a6waplk2ie75u4a3qfejnkoiezfowuz7sa74i7tief3di"}}"#,
/// );
/// let event = ClientEvent::parse(Protocol::V1, line)?;
/// let commit = event.commit().unwrap();
/// assert_eq!(commit.collection, "app.bsky.graph.follow");
/// assert_eq!(commit.record, Some(r#"{"subject":"did:web:b.example"}"#));
/// # Ok::<(), jetwash_client::Malformed>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientCommit<'a> {
    /// The operation.
    pub operation: Operation,
    /// The revision of the repository that the commit made: a TID.
    pub rev: &'a str,
    /// The collection that the record is in: an NSID.
    pub collection: &'a str,
    /// The key of the record in its collection.
    pub rkey: &'a str,
    /// The record as JSON, unparsed; `None` for a deletion.
    pub record: Option<&'a str>,
    /// The CID of the record as it is in the repository; `None` for a deletion.
    pub cid: Option<&'a str>,
}

impl ClientCommit<'_> {
    /// Parses the record.
    ///
    /// # Errors
    ///
    /// When there is no record, or when it does not fit the type.
    pub fn parse_record<T: DeserializeOwned>(&self) -> Result<T, ParseRecordError> {
        let record = self.record.ok_or(ParseRecordError::Absent)?;
        Ok(serde_json::from_str(record)?)
    }
}
