//! The check fails for each thing that it counts, and passes without any of them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// Writes a workspace with one library of these modules, checks it, and returns whether that passed
/// and what was printed.
fn check(name: &str, modules: &[(&str, &str)]) -> (bool, String) {
    let root = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    for package in ["crates/a", "benches"] {
        fs::create_dir_all(root.join(package).join("src")).unwrap();
        let manifest = format!("[package]\nname = \"{}\"\n", package.replace('/', "-"));
        fs::write(root.join(package).join("Cargo.toml"), manifest).unwrap();
    }
    for (file, text) in modules {
        fs::write(root.join("crates/a/src").join(file), text).unwrap();
    }
    let program = env!("CARGO_BIN_EXE_jetwash-structure");
    let output = Command::new(program)
        .arg("--check")
        .arg(&root)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    (output.status.success(), text)
}

const SHOWN: &str = "/// A thing.\n///\n/// ```\n/// ```\npub struct Thing;\n";

#[test]
fn a_sound_workspace_passes() {
    let (passed, text) = check("sound", &[("lib.rs", SHOWN)]);
    assert!(passed, "{text}");
}

#[test]
fn a_name_with_two_meanings_fails() {
    let lib = format!("pub mod b;\n{SHOWN}");
    let (passed, text) = check("names", &[("lib.rs", &lib), ("b.rs", SHOWN)]);
    assert!(
        !passed && text.contains("Thing: crates_a::::Thing, crates_a::b::Thing"),
        "{text}"
    );
}

#[test]
fn modules_in_a_circle_fail() {
    let (b, c) = (
        "use crate::c::y;\npub(crate) fn x() { y() }\n",
        "pub(crate) fn y() { crate::b::x() }\n",
    );
    let (passed, text) = check(
        "circle",
        &[("lib.rs", "mod b;\nmod c;\n"), ("b.rs", b), ("c.rs", c)],
    );
    assert!(!passed && text.contains("crates_a::b -> c (y)"), "{text}");
}

#[test]
fn a_long_function_fails() {
    let lib = format!("fn long() {{\n{}}}\n", "    let _ = 1;\n".repeat(70));
    let (passed, text) = check("long", &[("lib.rs", &lib)]);
    assert!(!passed && text.contains("long (72 lines)"), "{text}");
}

#[test]
fn a_stilted_phrase_fails() {
    let (passed, text) = check("prose", &[("lib.rs", "/// What a thing is.\nfn f() {}\n")]);
    assert!(!passed && text.contains("\"What \""), "{text}");
}

#[test]
fn a_public_type_without_an_example_fails() {
    let (passed, text) = check(
        "examples",
        &[("lib.rs", "/// A thing.\npub struct Thing;\n")],
    );
    assert!(!passed && text.contains("crates_a::Thing"), "{text}");
}
