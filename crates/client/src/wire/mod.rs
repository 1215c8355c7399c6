//! From the text of a message to an event, for both versions of the protocol.
//!
//! - `event`: an event, which keeps the text that it came in and points into it.
//! - `commit`: a commit as it is borrowed from an event; `sync`: the event that version 1 lacks.
//! - `kind`: the kinds of events.
//! - `message`: all that a message may be.
//! - `parse`, and for each version `v1` and `v2`: read a message.
//! - `outcome` and `parts`: the steps that both have in common.
//! - `time`: reads the timestamps of version 2.
//! - `malformed`: why a message could not be read.

mod commit;
mod event;
mod kind;
mod malformed;
mod message;
mod outcome;
mod parse;
mod parts;
mod sync;
mod time;
mod v1;
mod v2;

pub use commit::ClientCommit;
pub use event::{ClientBody, ClientEvent};
pub use kind::ClientKind;
pub use malformed::Malformed;
pub(crate) use message::Message;
pub(crate) use parse::read;
pub use sync::ClientSync;
