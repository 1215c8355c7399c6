//! The server's half of the websocket protocol (RFC 6455), as far as a Jetstream needs it.
//!
//! [`write_frame`] is written by hand, because a server's messages are the same for every reader: a
//! head of two to ten bytes before bytes that exist already. [`Incoming`] parses messages that are
//! rare and small, but come from strangers: within every bound that the standard and the caller
//! set. [`accept()`] answers the handshake, and [`offer_of`] reads
//! what it says about a subprotocol.

mod accept;
mod incoming;
mod outgoing;

pub(crate) use accept::{Offer, accept, offer_of};
pub(crate) use incoming::{Incoming, IncomingError, Message};
pub(crate) use outgoing::{CloseCode, Opcode, begin_frame, end_frame, write_close, write_frame};
