//! HTTP under limits: what stands between a stranger's connection and the routes.
//!
//! [`serving`] accepts connections and serves a router on them, [`open`] counts them, and
//! [`files`] says how many there may be. [`guarded`] watches how long a request takes. [`headers`]
//! checks and sets headers; [`dictionaries`] is the route for zstd dictionaries.

pub(crate) mod dictionaries;
pub(crate) mod files;
pub(crate) mod guarded;
pub(crate) mod headers;
pub(crate) mod open;
pub(crate) mod serving;
