//! A record from DAG-CBOR to JSON in one pass.
//!
//! [`RecordWriter`] holds the scratch space and starts a [`Pass`](pass), which walks the record and
//! writes each value once. `cid_text` reads the forms of a CID that records may hold, and `error`
//! says why a record cannot go into an event.

mod cid_text;
mod error;
mod pass;

use jetwash_cbor::CborReader;

pub use self::error::{RecordError, RecordErrorKind};
use self::pass::{Entry, Pass, Shape};

/// The longest record that is accepted, in bytes of DAG-CBOR. No string in it can be longer, so
/// strings need no limit of their own.
const MAX_LENGTH: usize = 1 << 20;

/// The scratch space for writing records.
#[derive(Clone, Debug, Default)]
pub(crate) struct RecordWriter {
    /// The entries of the maps that are being written, outermost first.
    entries: Vec<Entry>,
    /// The text of a map while its entries change places.
    scratch: Vec<u8>,
}

impl RecordWriter {
    /// Appends `record` as JSON, up to about `limit` bytes of `out` in all. After an error, `out`
    /// ends in a part of it.
    #[inline]
    pub(crate) fn write(
        &mut self,
        record: &[u8],
        limit: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), RecordError> {
        if record.len() > MAX_LENGTH {
            return Err(RecordErrorKind::Length.at(MAX_LENGTH));
        }
        self.entries.clear();
        let mut pass = Pass {
            reader: CborReader::new(record),
            record,
            entries: &mut self.entries,
            scratch: &mut self.scratch,
            moved: 0,
            limit,
            out,
        };
        if pass.value(0)? != Shape::Map {
            return Err(RecordErrorKind::NotAMap.at(0));
        }
        Ok(pass.reader.finish()?)
    }
}
