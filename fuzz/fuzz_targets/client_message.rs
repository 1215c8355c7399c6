#![no_main]
//! Runs [`jetwash_fuzz::client_message`].

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: jetwash_fuzz::write_seeds("client_message"), |data: &[u8]| {
    jetwash_fuzz::client_message(data)
});
