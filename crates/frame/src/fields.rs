//! Reads the fields of a message.

use jetwash_cbor::CborReader;

use crate::error::{FrameError, Part};

/// Reads a map and passes each key to `field`, which reads or skips the value.
pub(crate) fn read_map<'a>(
    reader: &mut CborReader<'a>,
    part: Part,
    mut field: impl FnMut(&'a str, &mut CborReader<'a>) -> Result<(), jetwash_cbor::Error>,
) -> Result<(), FrameError> {
    let cbor = |source| FrameError::Cbor { part, source };
    let mut map = reader.map().map_err(cbor)?;
    while let Some(key) = map.next_key(reader).map_err(cbor)? {
        field(key, reader).map_err(cbor)?;
    }
    Ok(())
}

/// Returns the value of a field that a message must have.
pub(crate) fn required<T>(
    value: Option<T>,
    part: Part,
    field: &'static str,
) -> Result<T, FrameError> {
    value.ok_or(FrameError::Missing { part, field })
}
