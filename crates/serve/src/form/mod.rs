//! What an event looks like on the wire.
//!
//! [`encoder`] turns events of the log into one subscriber's messages; [`recoder`] makes, once for
//! all who ask, the forms that the log does not hold.

pub(crate) mod encoder;
pub(crate) mod recoder;
