use jetwash_frame::CarError;
use thiserror::Error;

use crate::commit_object::CommitObjectError;

/// Why no leaf of a commit can be used.
///
/// # Examples
///
/// ```
/// use jetwash_mst::CommitError;
///
/// let error = CommitError::Rev;
/// assert_eq!(error.to_string(), "the commit object is of another revision than the frame says");
/// assert_eq!(error.reason(), "commit_rev_mismatch");
/// ```
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommitError {
    /// The blocks are not a CAR file.
    #[error("blocks: {0}")]
    Car(#[from] CarError),
    /// The commit's own block is not among the blocks.
    #[error("blocks: the commit object is missing")]
    CommitBlock,
    /// The commit object is that of another account.
    #[error("the commit object is of another account than the frame says")]
    Did,
    /// The commit object cannot be used.
    #[error("commit object: {0}")]
    Object(#[from] CommitObjectError),
    /// The commit object is of another revision.
    #[error("the commit object is of another revision than the frame says")]
    Rev,
    /// The first root is not the commit that the frame names.
    #[error("blocks: the first root is not the frame's `commit`")]
    Root,
}

impl CommitError {
    /// A short name of the reason, for a counter's label: one of a fixed few.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Car(CarError::Hash { .. }) => "car_hash_mismatch",
            Self::Car(_) => "car_invalid",
            Self::CommitBlock => "car_without_commit",
            Self::Did => "commit_did_mismatch",
            Self::Object(CommitObjectError::Version(_)) => "commit_version",
            Self::Object(_) => "commit_malformed",
            Self::Rev => "commit_rev_mismatch",
            Self::Root => "car_root_mismatch",
        }
    }
}
