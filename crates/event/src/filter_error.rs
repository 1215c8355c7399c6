use thiserror::Error;

use crate::syntax::IdentifierError;

/// Why a value cannot be part of a filter.
///
/// Each variant has the value, cut short if it is long.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum FilterError {
    /// A collection that is not an NSID.
    #[error("`{value}` is not a collection: {}", error.rule())]
    Collection {
        /// What was given.
        value: String,
        /// What is wrong with it.
        error: IdentifierError,
    },
    /// An account that is not a DID.
    #[error("`{value}` is not a DID: {}", error.rule())]
    Did {
        /// What was given.
        value: String,
        /// What is wrong with it.
        error: IdentifierError,
    },
    /// A pattern `….*` that no collection can match.
    #[error("`{value}` is not the start of a collection: {rule}")]
    Prefix {
        /// What was given.
        value: String,
        /// What is wrong with it.
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
