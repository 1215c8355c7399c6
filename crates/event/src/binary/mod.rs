//! Events as DAG-CBOR, for readers that want no JSON.
//!
//! `encoder` writes them, `event` reads them, and `error` says why one or the other fails.

mod encoder;
mod error;
mod event;

pub use self::encoder::BinaryEncoder;
pub use self::error::{BinaryError, ParseBinaryError};
pub use self::event::BinaryEvent;
