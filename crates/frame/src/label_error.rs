use thiserror::Error;

use crate::error::FrameError;

/// Why bytes are not a usable frame of labels.
///
/// # Examples
///
/// ```
/// use jetwash_frame::{LabelFrame, LabelFrameError};
///
/// // {"t": "#labels", "op": 1} and {"seq": 7, "labels": [{}]}
/// let bytes = b"\xa2\x61t\x67#labels\x62op\x01\xa2\x63seq\x07\x66labels\x81\xa0";
/// let error = LabelFrame::decode(bytes).unwrap_err();
/// assert_eq!(error, LabelFrameError::Missing { index: 0, field: "src" });
/// assert_eq!(error.to_string(), "label 0: `src` is missing");
/// assert_eq!(error.reason(), "frame_field_missing");
/// ```
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum LabelFrameError {
    /// The frame itself is at fault, and not one of its labels.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A field of a label is longer than allowed.
    #[error("label {index}: `{field}` has {actual} bytes, more than the {limit} allowed")]
    Limit {
        /// The label, counted from 0.
        index: usize,
        /// The field.
        field: &'static str,
        /// Its length in bytes.
        actual: usize,
        /// How many bytes it may have.
        limit: usize,
    },
    /// A label lacks a required field.
    #[error("label {index}: `{field}` is missing")]
    Missing {
        /// The label, counted from 0.
        index: usize,
        /// The field.
        field: &'static str,
    },
}

impl LabelFrameError {
    /// A short name of the reason, for a counter's label: one of a fixed few, those of
    /// [`FrameError::reason`].
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Frame(error) => error.reason(),
            Self::Limit { .. } => "frame_over_limit",
            Self::Missing { .. } => "frame_field_missing",
        }
    }
}
