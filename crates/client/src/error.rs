use jetwash_event::FilterError;
use thiserror::Error;

use crate::connection::HostError;

/// Why a stream ended for good.
///
/// # Examples
///
/// ```
/// use jetwash_client::ClientError;
///
/// fn is_our_fault(error: &ClientError) -> bool {
///     matches!(error, ClientError::Refused { status: 400, .. })
/// }
/// # let _ = is_our_fault;
/// ```
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientError {
    /// Every host refused the request in a way that would only be repeated. This is the last.
    #[error("{host} refuses the request with the HTTP status {status}: {name} {message}")]
    Refused {
        /// The host.
        host: String,
        /// The HTTP status.
        status: u16,
        /// The name of the XRPC error, empty if the answer had none.
        name: String,
        /// Its message, or the beginning of the answer.
        message: String,
    },
    /// The cursor has only a number, and no host is known to have that sequence.
    #[error("the cursor has no time, and its number is not of the sequence of {host}")]
    SeqOfAnotherHost {
        /// The host that was tried last.
        host: String,
    },
}

/// Why a client cannot be made from its settings.
///
/// # Examples
///
/// ```
/// use jetwash_client::{Client, ClientBuildError};
///
/// let hosts: [&str; 0] = [];
/// assert!(matches!(Client::builder(hosts).build(), Err(ClientBuildError::NoHost)));
/// ```
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientBuildError {
    /// There is no host.
    #[error("there is no host to connect to")]
    NoHost,
    /// A host is not usable.
    #[error(transparent)]
    Host(#[from] HostError),
    /// A header cannot be sent.
    #[error("the header {name:?} is not usable: {reason}")]
    Header {
        /// Its name.
        name: String,
        /// The fault.
        reason: &'static str,
    },
    /// A setting is out of its range.
    #[error("{setting} must be {rule}")]
    Setting {
        /// The name of the setting.
        setting: &'static str,
        /// The rule.
        rule: &'static str,
    },
    /// The filter has a value of a wrong form.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// There is no Tokio runtime.
    #[error("a client must be built within a Tokio runtime")]
    NoRuntime,
}
