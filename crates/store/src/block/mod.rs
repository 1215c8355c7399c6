//! The block: a few hundred events that follow each other, which the log stores, caches and hands out
//! as one.
//!
//! Along the way of an event:
//!
//! - [`builder`] takes events in, and interns their strings in a [`table`];
//! - [`index`] is what is known of the events without their payload, with [`commit_parts`] and
//!   [`verdicts`];
//! - [`block`] holds the index, and loads a [`page`] of JSON or of compressed events when it is first
//!   asked for, through [`unpack`] and the [`dictionaries`];
//! - [`format`] is the layout of an index in bytes, written with [`output`] and read with [`input`];
//!   [`slice`] cuts a part out of one; [`damage`] says what is wrong with them; [`stored`] puts index and payload together for the disk;
//! - [`cache`] keeps blocks that were read.

#[expect(
    clippy::module_inception,
    reason = "the room is named after its main type"
)]
mod block;
mod builder;
mod cache;
mod commit_parts;
mod damage;
mod dictionaries;
mod format;
mod index;
mod input;
mod output;
mod page;
mod slice;
mod stored;
mod table;
mod unpack;
mod verdicts;

pub use block::Block;
pub(crate) use block::Cold;
pub(crate) use builder::BlockBuilder;
pub(crate) use cache::Cache;
pub(crate) use dictionaries::Dictionaries;
pub(crate) use format::{check_payload, decode_index, encode_index};
pub(crate) use index::{Encoding, Index};
pub use page::Page;
pub(crate) use stored::{Stored, decode_piece, encode_block, encode_piece};
pub use table::StringTable;
