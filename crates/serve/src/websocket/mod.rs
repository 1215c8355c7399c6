//! The server's half of the websocket protocol (RFC 6455), as far as a Jetstream needs it.
//!
//! What goes out is written by hand, because a server's frames are the same for every reader: a
//! head of two to ten bytes before bytes that exist already. What comes in is rare and small, but
//! from strangers: it is parsed with every bound that the standard and the caller set.

mod accept;
mod incoming;
mod outgoing;

pub(crate) use accept::accept;
pub(crate) use incoming::{Incoming, IncomingError, Message};
pub(crate) use outgoing::{CloseCode, Opcode, write_close, write_frame};
