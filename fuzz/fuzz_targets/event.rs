#![no_main]
//! Runs [`jetwash_fuzz::event`].

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: jetwash_fuzz::write_seeds("event"), |data: &[u8]| jetwash_fuzz::event(data));
