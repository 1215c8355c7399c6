//! The export of a directory, which says of every DID what its document is.

mod follower;
mod operation;
mod position;

pub use follower::{ExportError, ExportFollower};
