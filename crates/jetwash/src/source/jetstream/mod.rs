//! Follows another Jetstream, of version 1 or 2, through [`jetwash_client`].
//!
//! - `options`: how hosts are connected to.
//! - `jetstreams`: the caller's settings, checked before any socket is opened.
//! - `source`: one Jetstream, with the hosts that have it.
//! - `pushed`: the part of the ingest filter that they are asked to apply, as it changes.
//! - `feed`: the task that hands events over to the pipeline.

mod feed;
mod jetstreams;
mod options;
mod pushed;
mod source;

pub(crate) use feed::JetstreamFeed;
pub(crate) use jetstreams::{JetstreamMistake, Jetstreams};
pub use options::JetstreamOptions;
pub(crate) use source::JetstreamSource;
