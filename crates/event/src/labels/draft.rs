use thiserror::Error;

use crate::micros::Micros;
use crate::syntax::{Datetime, Did, IdentifierError};

/// A label as a labeler sends it, borrowed.
///
/// # Examples
///
/// ```
/// use jetwash_event::LabelDraft;
///
/// let label = LabelDraft {
///     src: "did:web:labeler.example",
///     uri: "did:web:a.example",
///     val: "spam",
///     cts: "2026-07-04T14:38:07.517Z",
///     ..LabelDraft::default()
/// };
/// assert!(!label.neg && label.exp.is_none());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LabelDraft<'a> {
    /// The DID of the labeler.
    pub src: &'a str,
    /// The subject: the DID of an account, the AT URI of a record, or another URI.
    pub uri: &'a str,
    /// The version of the record that it is about; `None` for all versions.
    pub cid: Option<&'a str>,
    /// The value.
    pub val: &'a str,
    /// Whether it takes back the label of the same `src`, `uri` and `val`.
    pub neg: bool,
    /// When it was made, a datetime.
    pub cts: &'a str,
    /// When it ceases to apply, a datetime.
    pub exp: Option<&'a str>,
}

/// The moments of a label.
#[derive(Clone, Copy)]
pub(super) struct Times {
    pub(super) cts: Micros,
    pub(super) exp: Option<Micros>,
}

impl LabelDraft<'_> {
    /// Checks all fields, as [`Labels::apply`](crate::Labels::apply) does.
    ///
    /// # Errors
    ///
    /// When a field is too long or not what it should be.
    pub fn check(&self) -> Result<(), LabelError> {
        self.times().map(drop)
    }

    /// Checks all fields, and returns the moments.
    pub(super) fn times(&self) -> Result<Times, LabelError> {
        for (field, actual, limit) in [
            ("uri", self.uri.len(), MAX_SUBJECT),
            ("cid", self.cid.map_or(0, str::len), MAX_CID),
            ("val", self.val.len(), MAX_VALUE),
        ] {
            if actual > limit {
                return Err(LabelError::TooLong {
                    field,
                    actual,
                    limit,
                });
            }
        }
        for (field, text) in [("uri", self.uri), ("val", self.val)] {
            if text.is_empty() {
                return Err(LabelError::Empty { field });
            }
        }
        let syntax = |field| move |source| LabelError::Syntax { field, source };
        Did::check(self.src).map_err(syntax("src"))?;
        Ok(Times {
            cts: Datetime::time_of(self.cts).map_err(syntax("cts"))?,
            exp: self
                .exp
                .map(Datetime::time_of)
                .transpose()
                .map_err(syntax("exp"))?,
        })
    }
}

/// Why a label was not taken in.
///
/// # Examples
///
/// ```
/// use jetwash_event::{LabelDraft, Labels};
///
/// let label = LabelDraft { src: "labeler", uri: "did:web:a.example", val: "spam", ..LabelDraft::default() };
/// let error = Labels::default().apply(&label).unwrap_err();
/// assert_eq!(error.to_string(), "`src` is not a DID: does not start with `did:`");
/// assert_eq!(error.reason(), "label_malformed");
/// ```
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum LabelError {
    /// A field that must say something is empty.
    #[error("`{field}` is empty")]
    Empty {
        /// The field.
        field: &'static str,
    },
    /// A field is not what it should be.
    #[error("`{field}` is {source}")]
    Syntax {
        /// The field.
        field: &'static str,
        /// The mistake.
        source: IdentifierError,
    },
    /// A field is too long to be kept.
    #[error("`{field}` has {actual} bytes, more than the {limit} that are kept")]
    TooLong {
        /// The field.
        field: &'static str,
        /// Its length in bytes.
        actual: usize,
        /// How many bytes it may have.
        limit: usize,
    },
}

impl LabelError {
    /// A short name of the reason, for a counter's label: one of a fixed few.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Empty { .. } | Self::Syntax { .. } => "label_malformed",
            Self::TooLong { .. } => "label_too_long",
        }
    }
}

/// The longest subject that is kept: longer than the URI of any record of a `did:plc` or a
/// `did:web`.
const MAX_SUBJECT: usize = 1_152;
const MAX_CID: usize = 128;
/// The longest `val` (lexicon).
const MAX_VALUE: usize = 128;
