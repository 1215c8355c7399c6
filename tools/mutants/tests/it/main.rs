//! The driver on a workspace of one small crate, whose mutants have known outcomes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

const LIBRARY: &str = "pub fn is_even(number: u32) -> bool {\n    number % 2 == 0\n}\n";

const TEST: &str = "#[test]\nfn four_is_even() {\n    assert!(small::is_even(4));\n}\n";

/// A workspace under git with these mutants.
fn workspace(mutants: &str) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    let write = |file: &str, text: &str| {
        let path = root.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write(
        "Cargo.toml",
        "[workspace]\nmembers = [\"crates/small\"]\nresolver = \"3\"\n",
    );
    write(
        "crates/small/Cargo.toml",
        "[package]\nname = \"small\"\nversion = \"0.1.0\"\nedition = \"2024\"\n",
    );
    write("crates/small/src/lib.rs", LIBRARY);
    write("crates/small/tests/it/main.rs", TEST);
    write("mutants/small.txt", mutants);
    let mut git = Command::new("git");
    let made = git.args(["init", "-q"]).current_dir(root.path()).status();
    assert!(made.unwrap().success());
    root
}

fn mutant(name: &str, old: &str, new: &str, expect: &str) -> String {
    format!(
        "== {name}\nA fault.\nfile: crates/small/src/lib.rs\ntier: small it four\n\
         expect: {expect}\n-- replace\n{old}\n-- with\n{new}\n\n"
    )
}

fn run(root: &Path, arguments: &[&str]) -> (Output, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_jetwash-mutants"))
        .arg(root)
        .args(arguments)
        .env("JETWASH_MUTANTS_SCRATCH", root.with_extension("scratch"))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    (output, text)
}

#[test]
fn outcomes_are_held_against_those_expected() {
    let root = workspace(
        &[
            mutant("inverted", "2 == 0", "2 != 0", "caught"),
            mutant(
                "endless",
                "    number % 2",
                "    loop {}\n    number % 2",
                "caught",
            ),
            mutant(
                "equivalent",
                "% 2 == 0",
                "& 1 == 0",
                "retired: it is the same.",
            ),
            mutant("survivor", "% 2 ==", "% 4 ==", "caught"),
            mutant("broken", "2 == 0", "2 == nothing", "caught"),
            mutant("not-equivalent", "2 == 0", "2 == 1", "retired: it is not."),
        ]
        .concat(),
    );
    let (output, text) = run(root.path(), &["--limit", "30"]);
    assert!(!output.status.success());
    for line in [
        "| small | inverted | caught by four_is_even |",
        "| small | endless | caught: the tests hang |",
        "| small | equivalent | retired: it is the same. |",
        "| small | survivor | SURVIVED 1 tests. A fault. |",
        "| small | broken | DOES NOT BUILD |",
        "| small | not-equivalent | CAUGHT, though retired:",
        "tried 6, caught 3, retired 1, other than expected 3",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
    let (output, text) = run(root.path(), &["--only", "inverted"]);
    assert!(output.status.success(), "{text}");
    // The working copy is as it was.
    let library = fs::read_to_string(root.path().join("crates/small/src/lib.rs"));
    assert_eq!(library.unwrap(), LIBRARY);
    fs::remove_dir_all(root.path().with_extension("scratch")).unwrap();
}

#[test]
fn an_edit_that_does_not_apply_once_is_named() {
    for (old, count) in [("number % 3", 0), ("number", 2)] {
        let root = workspace(&mutant("lost", old, "0", "caught"));
        let (output, _) = run(root.path(), &["--check"]);
        assert!(!output.status.success());
        let error = String::from_utf8(output.stderr).unwrap();
        let expected = format!("lost: the text to replace is in crates/small/src/lib.rs {count}");
        assert!(error.contains(&expected), "{error}");
    }
}

#[test]
fn a_seed_chooses_the_same_sample_each_time() {
    let mutants: String = (0..20)
        .map(|number| mutant(&format!("m{number:02}"), "2 == 0", "2 != 0", "caught"))
        .collect();
    let root = workspace(&mutants);
    let sample = |seed: &str| run(root.path(), &["--check", "--sample", "4", "--seed", seed]).1;
    assert_eq!(sample("a").lines().count(), 5);
    assert_eq!(sample("a"), sample("a"));
    assert_ne!(sample("a"), sample("b"));
}

#[test]
fn the_reason_is_printed_when_the_tests_do_not_build_without_a_mutant() {
    let root = workspace(&mutant("odd", "% 2 == 0", "% 2 == 1", "caught"));
    let test = root.path().join("crates/small/tests/it/main.rs");
    fs::write(test, "use small::is_odd;\n").unwrap();

    let (output, _) = run(root.path(), &[]);

    assert!(!output.status.success());
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("does not pass without a mutant"), "{error}");
    assert!(error.contains("no `is_odd` in the root"), "{error}");
}
