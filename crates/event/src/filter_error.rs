use thiserror::Error;

use crate::syntax::IdentifierError;

/// Why a value cannot be part of a filter.
///
/// Each variant has the value, cut short if it is long.
///
/// # Examples
///
/// ```
/// use jetwash_event::{Filter, FilterError};
///
/// let error = Filter::new().dids(["alice.example"]).unwrap_err();
/// if let FilterError::Did { value, .. } = &error {
///     assert_eq!(value, "alice.example");
/// }
/// assert_eq!(error.to_string(), "`alice.example` is not a DID: does not start with `did:`");
/// ```
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum FilterError {
    /// A collection that is not an NSID.
    #[error("`{value}` is not a collection: {}", error.rule())]
    Collection {
        /// The value as it was given.
        value: String,
        /// The fault.
        error: IdentifierError,
    },
    /// An account that is not a DID.
    #[error("`{value}` is not a DID: {}", error.rule())]
    Did {
        /// The value as it was given.
        value: String,
        /// The fault.
        error: IdentifierError,
    },
    /// A host to link to that is not a host alone.
    #[error("`{value}` is not a host: it must be a name alone, as `example.com`")]
    Host {
        /// The value as it was given.
        value: String,
    },
    /// A pattern `….*` that no collection can match.
    #[error("`{value}` is not the start of a collection: {rule}")]
    Prefix {
        /// The value as it was given.
        value: String,
        /// The fault.
        rule: &'static str,
    },
}

impl FilterError {
    pub(crate) fn collection(value: &str, error: IdentifierError) -> Self {
        Self::Collection {
            value: excerpt(value),
            error,
        }
    }

    pub(crate) fn host(value: &str) -> Self {
        let value = excerpt(value);
        Self::Host { value }
    }

    pub(crate) fn prefix(value: &str, rule: &'static str) -> Self {
        Self::Prefix {
            value: excerpt(value),
            rule,
        }
    }

    pub(crate) fn did(value: &str, error: IdentifierError) -> Self {
        Self::Did {
            value: excerpt(value),
            error,
        }
    }
}

/// Cuts a wrong value to what a message can show.
fn excerpt(value: &str) -> String {
    const LENGTH: usize = 100;
    match value.char_indices().nth(LENGTH) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_owned(),
    }
}
