use jetwash::ReadError;
use jetwash::dict::CompressError;
use jetwash::store::StoreError;
use thiserror::Error;

/// Why events cannot be given in a format.
#[derive(Debug, Error)]
pub(crate) enum RecodeError {
    #[error(transparent)]
    Encode(#[from] CompressError),
    #[error(transparent)]
    Read(ReadError),
}

impl From<StoreError> for RecodeError {
    fn from(error: StoreError) -> Self {
        Self::Read(error.into())
    }
}
