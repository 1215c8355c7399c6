#![no_main]
//! Runs [`jetwash_fuzz::store_block`].

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: jetwash_fuzz::write_seeds("store_block"), |data: &[u8]| jetwash_fuzz::store_block(data));
