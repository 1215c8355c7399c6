//! One binary for all integration tests of the crate.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod cid;
mod depth;
mod oracle;
mod reader;
mod vectors;
mod writer;

use jetwash_cbor::{CborReader, ErrorKind};

/// Reads bytes that should be exactly one item.
fn check(bytes: &[u8]) -> Result<(), ErrorKind> {
    let mut reader = CborReader::new(bytes);
    reader
        .skip()
        .and_then(|()| reader.finish())
        .map_err(|error| error.kind)
}

fn from_hex(hex: &str) -> Vec<u8> {
    let pairs = hex.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}
