//! HTTP under limits: what stands between a stranger's connection and the routes.
//!
//! [`serving`] accepts connections within [`limits`]: [`open`] counts them, [`files`] says how many
//! the system allows. [`requests`] serves a router on each of them: [`guarded`] is its socket and
//! [`clock`] its deadlines. [`refusal`] tells a client why it gets nothing. [`headers`] checks and
//! sets headers; [`dictionaries`] is the route for zstd dictionaries, and [`xrpc`] the form of
//! errors there.

pub(crate) mod clock;
pub(crate) mod dictionaries;
pub(crate) mod files;
pub(crate) mod guarded;
pub(crate) mod headers;
pub(crate) mod limits;
pub(crate) mod open;
pub(crate) mod refusal;
pub(crate) mod requests;
pub(crate) mod serving;
pub(crate) mod xrpc;
