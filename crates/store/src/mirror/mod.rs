//! A log in two places: the origin, which gives out positions and times, and mirrors, which take over
//! what it has, at the same positions.
//!
//! Along the way of an event:
//!
//! - [`stream`] reads the origin's log from a position on, as messages;
//! - [`message`] is one of them and its bytes, with [`events`], or one that is refused
//!   ([`message_error`]);
//! - [`apply`] takes it over into a ring that [`adopt`] has made a mirror, once [`check`] has looked at
//!   all of it; [`error`] says why not.

mod adopt;
mod apply;
mod check;
mod error;
mod events;
mod message;
mod message_error;
mod stream;

pub use apply::Applied;
pub use error::MirrorError;
pub use events::LogEvents;
pub use message::LogMessage;
pub use message_error::LogMessageError;
pub use stream::LogStream;
