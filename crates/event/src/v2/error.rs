use thiserror::Error;

use crate::line_head::Unexpected;

/// A line that is not an event of version 1.
///
/// # Examples
///
/// ```
/// use jetwash_event::{V2Encoder, V2Error};
///
/// let line = br#"{"time_us":1}"#;
/// let error = V2Encoder::new().encode(line, 7, &mut Vec::new()).unwrap_err();
/// assert_eq!(error, V2Error { offset: 0 });
/// ```
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("not an event of Jetstream version 1 from byte {offset} on")]
pub struct V2Error {
    /// The first byte that does not fit.
    pub offset: usize,
}

impl From<Unexpected> for V2Error {
    fn from(Unexpected { offset }: Unexpected) -> Self {
        Self { offset }
    }
}
