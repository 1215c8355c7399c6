use jetwash::Verdict;
use jetwash::store::Block;

use crate::form::events::{Events, Made};

/// Writes the events of a block, which are lines of JSON, with the verdict of each commit as the last
/// field.
///
/// Identity and account events are as they were: nobody signs them.
pub(crate) fn with_verdicts(block: &Block, lines: &Events) -> Made {
    let (mut bytes, mut ends) = (Vec::new(), Vec::with_capacity(block.len()));
    for index in 0..block.len() {
        let line = lines.get(index).unwrap_or_default();
        match (line.strip_suffix(b"}"), verdict(block, index)) {
            (Some(open), Some(name)) => {
                bytes.extend_from_slice(open);
                bytes.extend_from_slice(b",\"verdict\":\"");
                // A name is lower-case letters and underscores, so nothing is escaped.
                bytes.extend_from_slice(name.as_bytes());
                bytes.extend_from_slice(b"\"}");
            }
            _ => bytes.extend_from_slice(line),
        }
        ends.push(bytes.len() as u32);
    }
    Made::new(bytes, ends)
}

/// The verdict's name; `None` if the event is not about a record.
fn verdict(block: &Block, index: usize) -> Option<&'static str> {
    let meta = block.meta(index)?;
    meta.kind.operation()?;
    // No byte is left out of the wire: one of a newer version is of an event that nobody here verified.
    Some(Verdict::from_byte(meta.verdict).map_or(UNVERIFIED, Verdict::name))
}

/// The verdict of a commit that went into the log without verification.
const UNVERIFIED: &str = "unverified";
