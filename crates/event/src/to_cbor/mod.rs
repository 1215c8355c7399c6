//! JSON back to DAG-CBOR in one pass.
//!
//! [`ToCbor`] holds the scratch space and starts a [`Pass`](pass), which walks the JSON and writes
//! each value once. `scan` finds the ends of plain text and digits, and `error` says why JSON has
//! no counterpart.

mod error;
mod pass;
mod scan;

pub use self::error::{ToCborError, ToCborErrorKind};
use self::pass::{Entry, Pass};
pub(crate) use self::scan::plain_length;

/// Writes JSON as canonical DAG-CBOR: the way back from an event's record to the bytes that its
/// repository holds.
///
/// Maps are brought into canonical order, `{"$link":…}` becomes a link and `{"$bytes":…}` a byte
/// string, as the data model specification has it. A number without fraction and exponent is an
/// integer, any other a 64-bit float. Keep one per worker: it holds the scratch space.
///
/// # Examples
///
/// ```
/// use jetwash_event::ToCbor;
///
/// let mut cbor = Vec::new();
/// ToCbor::new().encode(r#"{"text":"hi","n":-1}"#, &mut cbor)?;
/// assert_eq!(cbor, b"\xa2\x61n\x20\x64text\x62hi");
/// # Ok::<(), jetwash_event::ToCborError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct ToCbor {
    /// The entries of the maps that are being written, outermost first.
    entries: Vec<Entry>,
    /// Bytes that change places, or a string that is being unescaped.
    scratch: Vec<u8>,
}

impl ToCbor {
    /// Makes an encoder. It has no scratch space yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends one JSON value as DAG-CBOR.
    ///
    /// # Errors
    ///
    /// When it is not JSON, or has no counterpart in the data model; `out` is then left as it was.
    pub fn encode(&mut self, json: &str, out: &mut Vec<u8>) -> Result<(), ToCborError> {
        self.pass(json, out, |pass| pass.whole())
    }

    /// Appends the JSON value that comes first, and returns how many bytes of JSON it has.
    pub(crate) fn encode_first(
        &mut self,
        json: &str,
        out: &mut Vec<u8>,
    ) -> Result<usize, ToCborError> {
        self.pass(json, out, |pass| pass.first())
    }

    fn pass<T>(
        &mut self,
        json: &str,
        out: &mut Vec<u8>,
        take: impl FnOnce(&mut Pass<'_, '_>) -> Result<T, ToCborError>,
    ) -> Result<T, ToCborError> {
        self.entries.clear();
        let start = out.len();
        out.reserve(json.len());
        let mut pass = Pass {
            json,
            position: 0,
            entries: &mut self.entries,
            scratch: &mut self.scratch,
            moved: 0,
            out,
        };
        let result = take(&mut pass);
        if result.is_err() {
            out.truncate(start);
        }
        result
    }
}
