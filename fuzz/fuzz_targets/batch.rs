#![no_main]
//! Runs [`jetwash_fuzz::batch`].

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: jetwash_fuzz::write_seeds("batch"), |data: &[u8]| jetwash_fuzz::batch(data));
