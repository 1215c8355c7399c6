#![no_main]
//! Runs [`jetwash_fuzz::binary`].

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: jetwash_fuzz::write_seeds("binary"), |data: &[u8]| jetwash_fuzz::binary(data));
