#![no_main]
//! Runs [`jetwash_fuzz::tree_node`].

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: jetwash_fuzz::write_seeds("tree_node"), |data: &[u8]| jetwash_fuzz::tree_node(data));
