//! Events as DAG-CBOR, for readers that want no JSON.
//!
//! `encoder` writes them, most of them from the parts that `usual` finds in a line, `event` reads them, and `error` says why one or the other fails.

mod encoder;
mod error;
mod event;
mod usual;

pub use self::encoder::BinaryEncoder;
pub use self::error::{BinaryError, ParseBinaryError};
pub use self::event::BinaryEvent;
