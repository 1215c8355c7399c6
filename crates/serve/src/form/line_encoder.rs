use jetwash::Seq;
use jetwash::event::{BinaryEncoder, BinaryError, V2Encoder, V2Error, write_with_cursor};
use metrics::counter;
use tracing::debug;

use crate::form::format::Shape;

/// Makes events of other shapes from the lines of the log.
pub(crate) enum LineEncoder {
    /// The line with its position.
    Cursor,
    V2(Box<V2Encoder>),
    Binary(Box<BinaryEncoder>),
}

impl LineEncoder {
    /// An encoder for a shape that the log does not have.
    pub(crate) fn new(shape: Shape) -> Self {
        debug_assert!(shape.is_made(), "the log has this shape");
        match shape {
            Shape::V2 => Self::V2(Box::default()),
            Shape::Binary => Self::Binary(Box::default()),
            Shape::V0 | Shape::V1 | Shape::V1WithCursor => Self::Cursor,
        }
    }

    /// How many bytes an event is longer than its line at most, about.
    pub(crate) const fn more(&self) -> usize {
        match self {
            Self::Cursor => 24,
            // The names of its types.
            Self::V2(_) => 160,
            Self::Binary(_) => 0,
        }
    }

    /// Appends the event of a line at a position. A line without an event, which no log has had yet,
    /// is counted, and returns `false`.
    pub(crate) fn encode(&mut self, line: &[u8], seq: Seq, out: &mut Vec<u8>) -> bool {
        match self {
            Self::Cursor => is_written(write_with_cursor(line, seq.get(), out), seq),
            Self::V2(encoder) => is_written(encoder.encode(line, seq.get(), out), seq),
            Self::Binary(encoder) => {
                let line = str::from_utf8(line);
                debug_assert!(line.is_ok(), "the log holds JSON");
                is_binary(encoder.encode(line.unwrap_or_default(), out), seq)
            }
        }
    }
}

fn is_written(written: Result<(), V2Error>, seq: Seq) -> bool {
    if let Err(error) = &written {
        counter!("jetwash_dropped_total", "reason" => "not_version_1").increment(1);
        debug!(%error, %seq, "an event cannot be written for version 2");
    }
    written.is_ok()
}

fn is_binary(written: Result<(), BinaryError>, seq: Seq) -> bool {
    if let Err(error) = &written {
        counter!("jetwash_dropped_total", "reason" => "not_binary").increment(1);
        debug!(%error, %seq, "an event cannot be written in binary");
    }
    written.is_ok()
}
