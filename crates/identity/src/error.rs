use std::sync::Arc;
use std::time::Duration;

use jetwash_event::Did;
use thiserror::Error;

use crate::document::DocumentError;
use crate::net::FetchError;

/// Why there is no document of a DID, or none for now.
///
/// # Examples
///
/// ```
/// use jetwash_identity::{ResolveError, ResolveErrorKind};
///
/// let error = ResolveError::NotFound { did: "did:web:pds.test".parse()? };
/// assert_eq!(error.kind(), ResolveErrorKind::NotFound);
/// assert!(!error.is_transient());
/// # Ok::<(), jetwash_event::IdentifierError>(())
/// ```
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResolveError {
    /// The method of the DID is neither `plc` nor `web`.
    #[error("{did} is of a method that is not supported: only did:plc and did:web are")]
    UnsupportedMethod {
        /// The DID.
        did: Did,
    },
    /// The DID cannot be looked up, because it is not one of its method.
    #[error("{did} cannot be looked up: {reason}")]
    InvalidDid {
        /// The DID.
        did: Did,
        /// The mistake in it.
        reason: &'static str,
    },
    /// There is no such DID: the answer was 404, or [`NotFound`](crate::DocumentAnswer::NotFound).
    #[error("there is no {did}")]
    NotFound {
        /// The DID.
        did: Did,
    },
    /// The DID was given up: the answer was 410.
    #[error("{did} was given up by its owner")]
    Tombstoned {
        /// The DID.
        did: Did,
    },
    /// The document source does not know the DID, and there is no directory to ask.
    #[error("there is no directory to ask for {did}")]
    NoDirectory {
        /// The DID.
        did: Did,
    },
    /// Its document cannot be used.
    #[error("the document of {did} cannot be used")]
    Document {
        /// The DID.
        did: Did,
        /// The mistake in the document.
        #[source]
        error: DocumentError,
    },
    /// As many look-ups are under way or waiting as there may be.
    #[error("{waiting} look-ups of DIDs are under way already")]
    Busy {
        /// How many there are.
        waiting: usize,
    },
    /// The host has had its share of requests.
    #[error("the budget of {host} is used up for {retry_after:?}")]
    Budget {
        /// The host that was to be asked.
        host: Arc<str>,
        /// When it may be asked again.
        retry_after: Duration,
    },
    /// The host failed before, or asked to be left alone.
    #[error("{host} is left alone for {retry_after:?}")]
    Resting {
        /// The host that was to be asked.
        host: Arc<str>,
        /// When it is asked again.
        retry_after: Duration,
    },
    /// The runtime that look-ups run on has ended.
    #[error("look-ups have ended with their runtime")]
    Ended,
    /// The host gave no answer that can be used.
    #[error("{host} does not answer: {error}")]
    Host {
        /// The host that was asked.
        host: Arc<str>,
        /// The failure of its answer.
        error: FetchError,
    },
    /// The [`DocumentSource`](crate::DocumentSource) failed, or was too slow.
    #[error("the document source does not answer: {reason}")]
    Source {
        /// Up to 200 characters of its error.
        reason: Arc<str>,
    },
}

impl ResolveError {
    /// The sort of error, for counters.
    #[must_use]
    pub const fn kind(&self) -> ResolveErrorKind {
        use ResolveErrorKind as Kind;
        match self {
            Self::UnsupportedMethod { .. } => Kind::UnsupportedMethod,
            Self::InvalidDid { .. } => Kind::InvalidDid,
            Self::NotFound { .. } => Kind::NotFound,
            Self::Tombstoned { .. } => Kind::Tombstoned,
            Self::NoDirectory { .. } => Kind::NoDirectory,
            Self::Source { .. } => Kind::Source,
            Self::Document { .. } => Kind::Document,
            Self::Busy { .. } => Kind::Busy,
            Self::Budget { .. } => Kind::Budget,
            Self::Ended => Kind::Ended,
            Self::Resting { .. } => Kind::Resting,
            Self::Host { error, .. } => match error {
                FetchError::Budget => Kind::Budget,
                FetchError::Connect => Kind::Connect,
                FetchError::NoAddress => Kind::NoAddress,
                FetchError::PrivateAddress => Kind::PrivateAddress,
                FetchError::Protocol => Kind::Protocol,
                FetchError::Redirect => Kind::Redirect,
                FetchError::Status(_) => Kind::Status,
                FetchError::Timeout => Kind::Timeout,
                FetchError::Tls => Kind::Tls,
                FetchError::TooLong => Kind::TooLong,
            },
        }
    }

    /// Whether it says nothing about the DID, so that the same look-up may succeed later.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Busy { .. }
                | Self::Budget { .. }
                | Self::Resting { .. }
                | Self::Ended
                | Self::Host { .. }
                | Self::Source { .. }
        )
    }
}

/// The sorts of [`ResolveError`], with those of its [`FetchError`].
///
/// # Examples
///
/// ```
/// use jetwash_identity::ResolveErrorKind;
///
/// assert_eq!(ResolveErrorKind::NotFound.as_str(), "not_found");
/// assert!(ResolveErrorKind::ALL.contains(&ResolveErrorKind::Busy));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each is explained where the error is")]
pub enum ResolveErrorKind {
    Budget,
    Busy,
    Connect,
    Document,
    Ended,
    InvalidDid,
    NoAddress,
    NoDirectory,
    NotFound,
    PrivateAddress,
    Protocol,
    Redirect,
    Resting,
    Source,
    Status,
    Timeout,
    Tls,
    Tombstoned,
    TooLong,
    UnsupportedMethod,
}

impl ResolveErrorKind {
    /// Every sort.
    pub const ALL: [Self; 20] = [
        Self::Budget,
        Self::Busy,
        Self::Connect,
        Self::Document,
        Self::Ended,
        Self::InvalidDid,
        Self::NoAddress,
        Self::NoDirectory,
        Self::NotFound,
        Self::PrivateAddress,
        Self::Protocol,
        Self::Redirect,
        Self::Resting,
        Self::Source,
        Self::Status,
        Self::Timeout,
        Self::Tls,
        Self::Tombstoned,
        Self::TooLong,
        Self::UnsupportedMethod,
    ];

    /// The name of the sort in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Budget => "budget",
            Self::Busy => "busy",
            Self::Connect => "connect",
            Self::Document => "document",
            Self::Ended => "ended",
            Self::InvalidDid => "invalid_did",
            Self::NoAddress => "no_address",
            Self::NoDirectory => "no_directory",
            Self::NotFound => "not_found",
            Self::PrivateAddress => "private_address",
            Self::Protocol => "protocol",
            Self::Redirect => "redirect",
            Self::Resting => "resting",
            Self::Source => "source",
            Self::Status => "status",
            Self::Timeout => "timeout",
            Self::Tls => "tls",
            Self::Tombstoned => "tombstoned",
            Self::TooLong => "too_long",
            Self::UnsupportedMethod => "unsupported_method",
        }
    }
}
