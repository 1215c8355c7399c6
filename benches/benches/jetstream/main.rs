//! Times the two ways of a Jetstream's events: out, as messages of version 2 made from the lines of
//! the log, beside what version 1 needs; and in, from a socket into the log on disk.
//!
//! Arguments: `out` or `in` for one of them.

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints its figures, and ends where its input is not what it should be"
)]

mod host;
mod ingest;
mod input;
mod output;

use crate::input::Input;

fn main() {
    let Some(corpus) = jetwash_corpus::corpus("a Jetstream's events") else {
        return;
    };
    let only = std::env::args()
        .nth(1)
        .filter(|word| !word.starts_with('-'));
    let is_on = |part: &str| only.as_deref().is_none_or(|only| only == part);
    let input = Input::read(&corpus);
    if is_on("out") {
        output::measure(&input);
    }
    if is_on("in") {
        ingest::measure(&input);
    }
}
