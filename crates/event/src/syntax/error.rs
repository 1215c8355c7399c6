use std::fmt;

use thiserror::Error;

/// Text that is not the identifier it should be, and the rule that it breaks.
///
/// # Examples
///
/// ```
/// use jetwash_event::{Did, Syntax};
///
/// let error = Did::check("did:plc:").unwrap_err();
/// assert_eq!(error.syntax(), Syntax::Did);
/// assert_eq!(error.to_string(), "not a DID: nothing after the method");
/// ```
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("not {syntax}: {rule}")]
pub struct IdentifierError {
    syntax: Syntax,
    rule: &'static str,
}

impl IdentifierError {
    /// The sort of identifier that the text should have been.
    #[must_use]
    pub const fn syntax(&self) -> Syntax {
        self.syntax
    }

    /// The rule it breaks, as a phrase about the text.
    #[must_use]
    pub const fn rule(&self) -> &'static str {
        self.rule
    }
}

/// The sorts of identifier.
///
/// # Examples
///
/// ```
/// use jetwash_event::{Nsid, Syntax};
///
/// let error = Nsid::check("post").unwrap_err();
/// assert_eq!(error.syntax(), Syntax::Nsid);
/// assert_eq!(Syntax::Nsid.to_string(), "an NSID");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Syntax {
    /// [`AtUri`](crate::AtUri)
    AtUri,
    /// [`Datetime`](crate::Datetime)
    Datetime,
    /// [`Did`](crate::Did)
    Did,
    /// [`Handle`](crate::Handle)
    Handle,
    /// [`Nsid`](crate::Nsid)
    Nsid,
    /// [`RecordKey`](crate::RecordKey)
    RecordKey,
    /// [`Tid`](crate::Tid)
    Tid,
}

impl Syntax {
    pub(super) const fn error(self, rule: &'static str) -> IdentifierError {
        IdentifierError { syntax: self, rule }
    }

    /// Fails with `rule` unless it is kept.
    pub(super) const fn require(
        self,
        kept: bool,
        rule: &'static str,
    ) -> Result<(), IdentifierError> {
        if kept { Ok(()) } else { Err(self.error(rule)) }
    }
}

impl fmt::Display for Syntax {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AtUri => "an AT URI",
            Self::Datetime => "a datetime",
            Self::Did => "a DID",
            Self::Handle => "a handle",
            Self::Nsid => "an NSID",
            Self::RecordKey => "a record key",
            Self::Tid => "a TID",
        })
    }
}
