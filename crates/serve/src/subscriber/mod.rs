//! One subscriber, from its query string to its last message.
//!
//! [`query`] is what it asks for when it connects, [`settings`] the part of that which it may
//! change later, by messages that [`update`] parses and [`updates`] schedules. [`addresses`] shares
//! out what one address may take. [`connection`] then drives the two halves of the socket:
//! [`inbound`] reads messages and keeps the timers, [`outbound`] holds the position in the log and
//! writes events to a [`socket`]. [`end`] is why it is over.

pub(crate) mod addresses;
pub(crate) mod connection;
pub(crate) mod end;
pub(crate) mod inbound;
pub(crate) mod outbound;
pub(crate) mod query;
pub(crate) mod settings;
pub(crate) mod socket;
pub(crate) mod update;
pub(crate) mod updates;
