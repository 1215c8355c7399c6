use jetwash_client::{ClientBuildError, ClientError, FilterError};
use thiserror::Error;

/// Why two streams could not be compared.
#[derive(Debug, Error)]
pub(super) enum CompareError {
    /// A collection or an account is of a wrong form.
    #[error("{0}")]
    Filter(#[from] FilterError),
    /// An address is not usable.
    #[error("{address}: {source}")]
    Address {
        address: String,
        source: ClientBuildError,
    },
    /// A server refuses, and another attempt would be refused as well.
    #[error("{address}: {source}")]
    Stream {
        address: String,
        source: ClientError,
    },
    /// There is nothing that could be compared.
    #[error("no event came from both: A {a}, and B {b}")]
    NothingInCommon { a: String, b: String },
}
