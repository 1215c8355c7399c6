#![no_main]
//! Runs [`jetwash_fuzz::options_update`].

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: jetwash_fuzz::write_seeds("options_update"), |data: &[u8]| jetwash_fuzz::options_update(data));
