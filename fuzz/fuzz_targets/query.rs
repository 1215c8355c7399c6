#![no_main]
//! Runs [`jetwash_fuzz::query`].

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: jetwash_fuzz::write_seeds("query"), |data: &[u8]| jetwash_fuzz::query(data));
