#![no_main]
//! Runs [`jetwash_fuzz::car`].

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: jetwash_fuzz::write_seeds("car"), |data: &[u8]| jetwash_fuzz::car(data));
