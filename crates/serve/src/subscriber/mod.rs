//! One subscriber, from its query string to its last message.
//!
//! [`subscribers`] answers the routes of both versions of the [`wire`] and runs a task for each
//! request that [`admission`] lets in; others get a [`refusal`]. [`query`] is what a subscriber asks
//! for, read from the [`pairs`] of its query string, for version 2 by [`events_query`]; [`cursor`]
//! is where it starts, and [`bound`] where it ends, if it does. [`settings`] are the part of it that
//! messages may change later: [`update`] parses them, [`updates`] decides when. [`addresses`] shares
//! out what one address may take, with a [`bucket`] of tokens: a [`grant`] is what a subscriber may
//! have of it, and an [`allowance`] what it may send. The [`register`] lists who is connected.
//!
//! [`connection`] drives the two halves of the socket. [`inbound`] reads messages and keeps the
//! timers. [`outbound`] holds the position in the log; it takes each run through a [`passage`] and
//! says what it waits for, and writes events and [`notice`]s to its [`output`], which has the
//! [`socket`]. Those that get old events take [`turns`]; those at the end of the log share a
//! [`scratch`]. [`end`] is why it is over, and [`goodbye`] says so.
//!
//! A [`mirror`] gets the log itself, through the same halves of a socket.

pub(crate) mod addresses;
pub(crate) mod admission;
pub(crate) mod allowance;
pub(crate) mod bound;
pub(crate) mod bucket;
pub(crate) mod connection;
pub(crate) mod cursor;
pub(crate) mod end;
pub(crate) mod events_query;
pub(crate) mod goodbye;
pub(crate) mod grant;
pub(crate) mod inbound;
pub(crate) mod mirror;
pub(crate) mod notice;
pub(crate) mod outbound;
pub(crate) mod output;
pub(crate) mod pairs;
pub(crate) mod passage;
pub(crate) mod query;
pub(crate) mod refusal;
pub(crate) mod register;
pub(crate) mod scratch;
pub(crate) mod settings;
pub(crate) mod socket;
pub(crate) mod subscribers;
pub(crate) mod turns;
pub(crate) mod update;
pub(crate) mod updates;
pub(crate) mod wire;
