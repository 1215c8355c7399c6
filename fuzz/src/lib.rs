//! The fuzz targets, and the seeds that they start from.
//!
//! A target is a plain function of bytes that panics when something that must hold does not. So
//! any fuzzing engine can drive it, and a crash can be tried again without one. Where an
//! independent decoder exists it is the oracle: both must agree on what is accepted and on what
//! it means.

mod client;
#[path = "../../crates/event/tests/it/oracle.rs"]
#[allow(dead_code, reason = "its tables are for the tests it is shared with")]
mod oracle;
mod seeds;
mod strangers;
mod targets;
mod verify;

pub use client::client_message;
pub use seeds::write_seeds;
pub use strangers::{
    client_frames, did_document, did_file, identifiers, log_message, options_update, query,
    store_block,
};
pub use targets::{batch, binary, car, dict, event, frame, label_frame, record_json, tree_node};
pub use verify::verify;
