use jetwash::dict::Compressor;
use jetwash::store::{Block, Page, StoreError};

use crate::form::events::Made;
use crate::form::format::Shape;
use crate::form::line_encoder::LineEncoder;
use crate::form::recode_error::RecodeError;

/// Writes a block's events in a shape that the log does not have. One that cannot be written is empty.
pub(crate) fn plain(block: &Block, shape: Shape) -> Result<Made, StoreError> {
    let json = block.json()?;
    let mut encoder = LineEncoder::new(shape);
    let capacity = json.bytes().len() + block.len() * encoder.more();
    let (mut bytes, mut ends) = (
        Vec::with_capacity(capacity),
        Vec::with_capacity(block.len()),
    );
    for index in 0..block.len() {
        let seq = block.first_seq().plus(index as u64);
        encoder.encode(json.get(index).unwrap_or_default(), seq, &mut bytes);
        ends.push(bytes.len() as u32);
    }
    Ok(Made::new(bytes, ends))
}

/// Writes some of a block's events, given by their indexes in increasing order, and compresses each.
/// An event is only there until it is compressed, so it stays in the processor's cache. The other
/// events, and those that the shape does not have, are empty.
pub(crate) fn compressed(
    block: &Block,
    lines: &Page,
    shape: Shape,
    indexes: impl Iterator<Item = usize>,
    compressor: &mut Compressor,
) -> Result<Made, RecodeError> {
    let (mut encoder, mut event) = (LineEncoder::new(shape), Vec::new());
    let (mut bytes, mut ends) = (Vec::new(), Vec::with_capacity(block.len()));
    for index in indexes {
        let kind = block.kinds().get(index);
        if !kind.is_some_and(|kind| shape.has(kind.kind())) {
            continue;
        }
        let seq = block.first_seq().plus(index as u64);
        event.clear();
        if encoder.encode(lines.get(index).unwrap_or_default(), seq, &mut event) {
            ends.resize(index, bytes.len() as u32);
            compressor.compress(&event, &mut bytes)?;
            ends.push(bytes.len() as u32);
        }
    }
    ends.resize(block.len(), bytes.len() as u32);
    Ok(Made::new(bytes, ends))
}
