//! The ring in which Jetstream events wait: one ordered log, on disk or in memory.

mod appender;
mod backend;
mod block;
mod builder;
mod cache;
mod dictionaries;
mod did;
mod error;
mod event;
mod format;
mod open;
mod options;
mod ring;
mod state;
mod store;
mod table;

pub use appender::{Appender, Trimmed};
pub use block::{Block, Page};
pub use error::{OpenError, StoreError};
pub use event::{EventKind, EventMeta, NewEvent, PushError};
pub use open::open;
pub use options::{Durability, Location, Options, Retention};
pub use store::{Bounds, Read, Run, Store};
pub use table::StringTable;
