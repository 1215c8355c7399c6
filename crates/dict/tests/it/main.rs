//! One binary for all integration tests of the crate.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod batch;
mod compressor;
mod decompressor;
mod dictionary;
mod stream;
mod trainer;

use jetwash_dict::Dictionary;

/// A dictionary that needs no corpus.
fn trained(id: u32) -> Dictionary {
    Dictionary::train((0..2_000).map(event), 4096, id).unwrap()
}

/// Something like an event; no two are the same.
fn event(number: usize) -> String {
    let key = number.wrapping_mul(2_654_435_761) % 1_000_003;
    format!(
        r#"{{"did":"did:plc:{key:024}","time_us":{number},"kind":"commit","commit":{{"rev":"{key:013}","operation":"create","collection":"app.bsky.feed.like","rkey":"{number:013}","record":{{"$type":"app.bsky.feed.like","subject":{{"cid":"{key:059}"}}}}}}}}"#
    )
}
