#![no_main]
//! Runs [`jetwash_fuzz::identifiers`].

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: jetwash_fuzz::write_seeds("identifiers"), |data: &[u8]| jetwash_fuzz::identifiers(data));
