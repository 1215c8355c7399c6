#![no_main]
//! Runs [`jetwash_fuzz::did_document`].

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: jetwash_fuzz::write_seeds("did_document"), |data: &[u8]| {
    jetwash_fuzz::did_document(data);
});
