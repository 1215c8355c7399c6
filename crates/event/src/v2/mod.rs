//! Events as Jetstream version 2 sends them, made from the lines of version 1.
//!
//! [`encoder`] puts the parts of a line into the order of version 2. [`record`] changes the few
//! records whose bytes differ, [`text`] the few strings, and [`time`] writes the time. [`cursor`]
//! adds the position to a line and leaves the rest as it is. [`error`] says where a line does not
//! fit.
//!
//! Source: the lexicon `network.bsky.jetstream.subscribeEvents`.

mod cursor;
mod encoder;
mod error;
mod record;
mod text;
mod time;

pub use cursor::write_with_cursor;
pub use encoder::V2Encoder;
pub use error::V2Error;
