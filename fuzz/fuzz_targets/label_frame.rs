#![no_main]
//! Runs [`jetwash_fuzz::label_frame`].

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: jetwash_fuzz::write_seeds("label_frame"), |data: &[u8]| jetwash_fuzz::label_frame(data));
