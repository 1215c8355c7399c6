#![no_main]
//! Runs [`jetwash_fuzz::dict`].

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: jetwash_fuzz::write_seeds("dict"), |data: &[u8]| jetwash_fuzz::dict(data));
