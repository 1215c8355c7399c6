//! The Jetstream protocol over real sockets, with a client that shares no code with the server.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod answer;
mod client;
mod connections;
mod cursors;
mod dictionaries;
mod ends;
mod events;
mod events_cursors;
mod events_frames;
mod events_playback;
mod events_query;
mod events_random;
mod events_recorded;
mod files;
mod frames;
mod gaps;
mod handshake;
mod held;
mod jetstream_upstream;
mod labels;
mod limits;
mod liveness;
mod log;
mod mirror;
mod mirrored;
mod modes;
mod notices;
mod page;
mod plain;
mod plain_clients;
mod plain_random;
mod plain_requests;
mod plain_resume;
mod query;
mod random;
mod recorded;
mod rotation;
mod slow;
mod strangers;
mod syncs;
mod updates;
mod verdicts;
