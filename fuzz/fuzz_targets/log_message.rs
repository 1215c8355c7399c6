#![no_main]
//! Runs [`jetwash_fuzz::log_message`].

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: jetwash_fuzz::write_seeds("log_message"), |data: &[u8]| jetwash_fuzz::log_message(data));
