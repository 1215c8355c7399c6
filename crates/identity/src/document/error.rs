use thiserror::Error;

/// Why a DID document cannot be used.
///
/// # Examples
///
/// ```
/// use jetwash_identity::{DidDocument, DocumentError};
///
/// let did = "did:web:pds.test".parse()?;
/// let wrong = DidDocument::parse(br#"{"id":"did:web:other.test"}"#, &did);
/// assert_eq!(wrong, Err(DocumentError::Id { found: "did:web:other.test".to_owned() }));
/// # Ok::<(), jetwash_event::IdentifierError>(())
/// ```
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum DocumentError {
    /// It is longer than [`DidDocument::MAX_BYTES`](crate::DidDocument::MAX_BYTES).
    #[error("the DID document has {length} bytes; up to 65,536 are read")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// Its arrays and objects nest deeper than
    /// [`DidDocument::MAX_DEPTH`](crate::DidDocument::MAX_DEPTH).
    #[error("the DID document nests deeper than 32 levels")]
    TooDeep,
    /// It is not a JSON object in UTF-8, or has a field twice.
    #[error("the DID document is not a JSON object (line {line}, column {column})")]
    Json {
        /// The line of the mistake, from 1.
        line: usize,
        /// The column of the mistake, from 1.
        column: usize,
    },
    /// It is the document of another DID.
    #[error("the DID document is about {found:?}, not about the DID that was asked for")]
    Id {
        /// Up to 100 characters of the `id` in it; empty if it has none.
        found: String,
    },
}
