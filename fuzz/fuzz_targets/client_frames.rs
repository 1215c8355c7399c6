#![no_main]
//! Runs [`jetwash_fuzz::client_frames`].

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: jetwash_fuzz::write_seeds("client_frames"), |data: &[u8]| jetwash_fuzz::client_frames(data));
