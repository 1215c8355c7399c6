//! Readers of a firehose, over real sockets.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod client;
mod cursors;
mod ends;
mod follow;
mod frames;
mod limits;
mod reconnects;
mod relay;
mod scripted;
mod slow;
