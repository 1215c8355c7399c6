use jetwash::Seq;
use jetwash::dict::Compressor;
use jetwash::event::{V2Encoder, V2Error, write_with_cursor};
use jetwash::store::{Block, Page, StoreError};
use metrics::counter;
use tracing::debug;

use crate::form::events::Made;
use crate::form::recode_error::RecodeError;

/// Writes a block's events as messages of version 2.
pub(crate) fn v2(block: &Block) -> Result<Made, StoreError> {
    let mut encoder = V2Encoder::new();
    // A message is longer than its line by the names of its types.
    made(block, 160, |line, seq, bytes| {
        encoder.encode(line, seq, bytes)
    })
}

/// Writes a block's events as lines of version 1 with their positions.
pub(crate) fn v1_with_cursor(block: &Block) -> Result<Made, StoreError> {
    made(block, 24, write_with_cursor)
}

/// Writes each event, which takes up to `more` bytes more than its line, with its position. An
/// event that cannot be written, which no line in a log is, is counted and left empty.
fn made(
    block: &Block,
    more: usize,
    mut write: impl FnMut(&[u8], u64, &mut Vec<u8>) -> Result<(), V2Error>,
) -> Result<Made, StoreError> {
    let json = block.json()?;
    let mut bytes = Vec::with_capacity(json.bytes().len() + block.len() * more);
    let mut ends = Vec::with_capacity(block.len());
    for index in 0..block.len() {
        let seq = block.first_seq().plus(index as u64);
        let line = json.get(index).unwrap_or_default();
        if let Err(error) = write(line, seq.get(), &mut bytes) {
            count_dropped(error, seq);
        }
        ends.push(bytes.len() as u32);
    }
    Ok(Made::new(bytes, ends))
}

/// Writes some of a block's events as compressed messages of version 2, given by their indexes in
/// increasing order. Each message is only there until it is compressed, so it stays in the
/// processor's cache. The other events are empty.
pub(crate) fn v2_compressed(
    block: &Block,
    lines: &Page,
    indexes: impl Iterator<Item = usize>,
    compressor: &mut Compressor,
) -> Result<Made, RecodeError> {
    let (mut encoder, mut message) = (V2Encoder::new(), Vec::new());
    let (mut bytes, mut ends) = (Vec::new(), Vec::with_capacity(block.len()));
    for index in indexes {
        let seq = block.first_seq().plus(index as u64);
        message.clear();
        match encoder.encode(
            lines.get(index).unwrap_or_default(),
            seq.get(),
            &mut message,
        ) {
            Ok(()) => {
                ends.resize(index, bytes.len() as u32);
                compressor.compress(&message, &mut bytes)?;
                ends.push(bytes.len() as u32);
            }
            Err(error) => count_dropped(error, seq),
        }
    }
    ends.resize(block.len(), bytes.len() as u32);
    Ok(Made::new(bytes, ends))
}

/// Counts an event that has no message.
pub(crate) fn count_dropped(error: V2Error, seq: Seq) {
    counter!("jetwash_dropped_total", "reason" => "not_version_1").increment(1);
    debug!(%error, %seq, "an event cannot be written for version 2");
}
