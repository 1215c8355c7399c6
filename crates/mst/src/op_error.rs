use jetwash_event::IdentifierError;
use thiserror::Error;

/// Why one operation cannot be used. The others of the commit can.
///
/// # Examples
///
/// ```
/// use jetwash_mst::{OpError, OpFault};
///
/// let error = OpError { path: "app.bsky.feed.like", reason: OpFault::Path };
/// assert_eq!(
///     error.to_string(),
///     r#"operation on "app.bsky.feed.like": the path is not `collection/rkey`"#,
/// );
/// ```
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("operation on {path:?}: {reason}")]
pub struct OpError<'a> {
    /// The path as the frame has it.
    pub path: &'a str,
    /// The fault.
    pub reason: OpFault,
}

/// The fault of an operation.
///
/// # Examples
///
/// ```
/// use jetwash_mst::OpFault;
///
/// // A fixed name, safe to use as the label of a metric.
/// assert_eq!(OpFault::BlockMissing.reason(), "op_block_missing");
/// ```
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpFault {
    /// The action is not create, update or delete.
    #[error("unknown action")]
    Action,
    /// The record's block is not among the blocks.
    #[error("the record's block is missing")]
    BlockMissing,
    /// The record's CID is not DAG-CBOR under SHA-256, so nothing can be checked against it.
    #[error("the record's CID is of a kind that no record has")]
    CidKind,
    /// A delete with a CID.
    #[error("a CID for a record that should be gone")]
    CidOfDeleted,
    /// The collection is not an NSID.
    #[error("collection: {0}")]
    Collection(IdentifierError),
    /// The record's block does not hash to its CID.
    #[error("the record does not match its CID")]
    Hash,
    /// A create or update without a CID.
    #[error("no CID for a record that should exist")]
    NoCid,
    /// The path has no slash.
    #[error("the path is not `collection/rkey`")]
    Path,
    /// Another operation of the commit has the same path, so the result is unclear.
    #[error("the commit has another operation on this path")]
    PathRepeated,
    /// An update to what the record was before.
    #[error("an update that changes nothing")]
    PrevIsCid,
    /// A create with a `prev`.
    #[error("a record before one that should be new")]
    PrevOfCreated,
    /// The record key is not valid.
    #[error("record key: {0}")]
    RecordKey(IdentifierError),
}

impl OpFault {
    /// A short name of the reason, for a counter's label: one of a fixed few.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Action => "op_action_unknown",
            Self::BlockMissing => "op_block_missing",
            Self::CidKind | Self::CidOfDeleted | Self::NoCid => "op_cid_invalid",
            Self::Collection(_) => "op_collection_invalid",
            Self::Hash => "op_hash_mismatch",
            Self::Path => "op_path_invalid",
            Self::PathRepeated => "op_path_repeated",
            Self::PrevIsCid | Self::PrevOfCreated => "op_prev_invalid",
            Self::RecordKey(_) => "op_rkey_invalid",
        }
    }
}
