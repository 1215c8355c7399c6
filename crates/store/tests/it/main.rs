//! The ring from outside: one module per concern, the same tests on both backends.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod accounts;
mod concurrency;
#[cfg(unix)]
mod copy;
mod crash;
mod dead_letters;
mod dictionaries;
mod edges;
mod faults;
#[cfg(unix)]
mod files;
mod fixture;
#[cfg(target_os = "linux")]
mod full;
mod gaps;
mod identity;
#[cfg(unix)]
mod journal;
mod kept_frames;
mod mirror;
mod mirror_random;
mod mirror_refusals;
mod model;
mod named_cursors;
mod positions;
#[cfg(target_os = "linux")]
mod power;
mod random;
mod reading;
mod remaining;
#[cfg(unix)]
mod restart;
mod retention;
#[cfg(target_os = "linux")]
mod shim;
#[cfg(feature = "crash-points")]
mod simulated;
mod support;
mod verdicts;
