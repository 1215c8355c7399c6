use jetwash::event::BinaryEncoder;
use jetwash::store::{Block, StoreError};
use metrics::counter;
use tracing::debug;

use crate::form::events::Made;

/// Writes a block's events in binary. An event that cannot be written so, which no relay has caused
/// yet, is counted and left empty.
pub(crate) fn binary(block: &Block) -> Result<Made, StoreError> {
    let json = block.json()?;
    let mut encoder = BinaryEncoder::new();
    let (mut bytes, mut ends) = (Vec::new(), Vec::with_capacity(block.len()));
    for line in (0..block.len()).filter_map(|index| json.get(index)) {
        let line = str::from_utf8(line);
        debug_assert!(line.is_ok(), "the log holds JSON");
        if let Err(error) = encoder.encode(line.unwrap_or_default(), &mut bytes) {
            counter!("jetwash_dropped_total", "reason" => "not_binary").increment(1);
            debug!(%error, "an event cannot be written in binary");
        }
        ends.push(bytes.len() as u32);
    }
    Ok(Made::new(bytes, ends))
}
