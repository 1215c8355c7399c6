#![no_main]
//! Runs [`jetwash_fuzz::did_file`].

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: jetwash_fuzz::write_seeds("did_file"), |data: &[u8]| jetwash_fuzz::did_file(data));
