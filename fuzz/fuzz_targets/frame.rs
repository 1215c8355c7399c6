#![no_main]
//! Runs [`jetwash_fuzz::frame`].

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: jetwash_fuzz::write_seeds("frame"), |data: &[u8]| jetwash_fuzz::frame(data));
