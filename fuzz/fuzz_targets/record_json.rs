#![no_main]
//! Runs [`jetwash_fuzz::record_json`].

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: jetwash_fuzz::write_seeds("record_json"), |data: &[u8]| jetwash_fuzz::record_json(data));
