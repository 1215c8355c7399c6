//! A mirror, which gets the log as it is, from its query string to its last message.
//!
//! [`query`] is what it asks for, held against the log; [`connection`] sends it what
//! [`LogStream`](jetwash::store::LogStream) gives out.

pub(crate) mod connection;
pub(crate) mod query;
