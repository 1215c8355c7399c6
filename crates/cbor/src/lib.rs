//! DAG-CBOR read strictly without copying, and the CIDs found in it.
//!
//! Frames, repository blocks and records are all DAG-CBOR: a subset of CBOR in which every value
//! has exactly one encoding. [`CborReader`] walks such bytes item by item, borrows strings and byte
//! strings from them, and refuses what the subset refuses: indefinite or overlong lengths, tags
//! other than 42, map keys that are not text or not in canonical order, floats that are not
//! finite 64-bit ones, invalid UTF-8, and nesting beyond [`MAX_DEPTH`]. [`CborWriter`] writes the
//! little that the project has to write. [`Cid`] is the one form of content identifier that
//! AT Protocol makes; [`Link`] is any that a record may carry.
//!
//! Sources: the atproto data model specification and DRISL, the CBOR profile it names.
//!
//! # Examples
//!
//! ```
//! use jetwash_cbor::{CborReader, CborWriter};
//!
//! let mut writer = CborWriter::new();
//! writer.map(2);
//! writer.text("ok").boolean(true);
//! writer.text("seq").unsigned(7);
//!
//! let bytes = writer.into_bytes();
//! let mut reader = CborReader::new(&bytes);
//! let mut map = reader.map()?;
//! let (mut ok, mut seq) = (None, None);
//! while let Some(key) = map.next_key(&mut reader)? {
//!     match key {
//!         "ok" => ok = Some(reader.boolean()?),
//!         "seq" => seq = Some(reader.unsigned()?),
//!         _ => reader.skip()?,
//!     }
//! }
//! reader.finish()?;
//! assert_eq!((ok, seq), (Some(true), Some(7)));
//! # Ok::<(), jetwash_cbor::Error>(())
//! ```

mod cid;
mod error;
mod item;
mod map_reader;
mod reader;
mod typed;
mod varint;
mod writer;

pub use cid::{Cid, CidError, Codec, Link};
pub use error::{Error, ErrorKind};
pub use item::Item;
pub use map_reader::MapReader;
pub use reader::CborReader;
pub use typed::MAX_DEPTH;
pub use varint::read_varint;
pub use writer::{CborWriter, write_head};
