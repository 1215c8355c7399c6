use jetwash::dict::Evaluation;
use serde_json::{Value, json};

/// Returns the figures of events that a dictionary compressed.
pub(super) fn json_of(evaluation: &Evaluation) -> Value {
    let Evaluation {
        events,
        bytes,
        compressed,
        ..
    } = evaluation;
    json!({ "events": events, "bytes": bytes, "compressed": compressed })
}
