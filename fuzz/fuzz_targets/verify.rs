#![no_main]
//! Runs [`jetwash_fuzz::verify`].

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: jetwash_fuzz::write_seeds("verify"), |data: &[u8]| jetwash_fuzz::verify(data));
