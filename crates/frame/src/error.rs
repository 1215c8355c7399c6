use std::fmt;

use thiserror::Error;

/// Why bytes are not a usable frame.
///
/// # Examples
///
/// ```
/// use jetwash_frame::{Frame, FrameError};
///
/// let error = Frame::decode(b"\xa1\x62op\x20\xa0").unwrap_err();
/// assert!(matches!(error, FrameError::Missing { field: "error", .. }));
/// assert_eq!(error.to_string(), "payload: `error` is missing");
/// assert_eq!(error.reason(), "frame_field_missing");
/// ```
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameError {
    /// The bytes are not strict DAG-CBOR, or a field has another type than the lexicon says.
    #[error("{part}: {source}")]
    Cbor {
        /// The item it is in. The offset counts from the start of the frame.
        part: Part,
        /// The fault, and where it is.
        source: jetwash_cbor::Error,
    },
    /// A list or byte string longer than the protocol allows.
    #[error("`{field}` has {actual} {unit}, more than the {limit} allowed")]
    Limit {
        /// The field, or `frame` for the frame as a whole.
        field: &'static str,
        /// The unit in which both are counted.
        unit: &'static str,
        /// How many there are.
        actual: usize,
        /// How many there may be.
        limit: usize,
    },
    /// A required field is not there.
    #[error("{part}: `{field}` is missing")]
    Missing {
        /// The item it should be in.
        part: Part,
        /// The field.
        field: &'static str,
    },
}

impl FrameError {
    /// A short name of the reason, for a counter's label: one of a fixed few.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Cbor { .. } => "frame_malformed",
            Self::Limit { .. } => "frame_over_limit",
            Self::Missing { .. } => "frame_field_missing",
        }
    }
}

/// One of the two items of a frame.
///
/// # Examples
///
/// ```
/// use jetwash_frame::{FrameError, Part, peek};
///
/// let error = peek(b"\xa0").unwrap_err();
/// assert_eq!(error, FrameError::Missing { part: Part::Header, field: "op" });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The first, which names the type.
    Header,
    /// The second, the message.
    Payload,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header => "header",
            Self::Payload => "payload",
        })
    }
}
