//! Reads the fields of a message.

use jetwash_cbor::{CborReader, Error};

use crate::error::{FrameError, Part};

/// Reads a map and passes each key to `field`, which reads or skips the value.
pub(crate) fn read_map<'a>(
    reader: &mut CborReader<'a>,
    part: Part,
    mut field: impl FnMut(&'a str, &mut CborReader<'a>) -> Result<(), Error>,
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

/// Reads `null` or what `read` reads. Some hosts send `null` for fields that are only optional.
pub(crate) fn nullable<'a, T>(
    reader: &mut CborReader<'a>,
    read: impl FnOnce(&mut CborReader<'a>) -> Result<T, Error>,
) -> Result<Option<T>, Error> {
    if reader.null() {
        Ok(None)
    } else {
        read(reader).map(Some)
    }
}

/// Reads a flag. The lexicon lets it be absent, and some hosts then send `null`.
pub(crate) fn flag(reader: &mut CborReader<'_>) -> Result<bool, Error> {
    Ok(nullable(reader, CborReader::boolean)?.unwrap_or(false))
}

pub(crate) fn within(
    field: &'static str,
    unit: &'static str,
    actual: usize,
    limit: usize,
) -> Result<(), FrameError> {
    if actual > limit {
        return Err(FrameError::Limit {
            field,
            unit,
            actual,
            limit,
        });
    }
    Ok(())
}
