//! The check fails for each thing that it counts, and passes without any of them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// Writes a workspace with one library of these modules, checks it, and returns whether that passed
/// and what was printed.
fn check(name: &str, modules: &[(&str, &str)]) -> (bool, String) {
    check_with_pages(name, modules, &[])
}

/// The same with these pages in the folder `docs`.
fn check_with_pages(
    name: &str,
    modules: &[(&str, &str)],
    pages: &[(&str, &str)],
) -> (bool, String) {
    let root = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    for (page, text) in pages {
        let page = root.join("docs").join(page);
        fs::create_dir_all(page.parent().unwrap()).unwrap();
        fs::write(page, text).unwrap();
    }
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

const LLMS: &str = "[A](https://raw.githubusercontent.com/jetwash/jetwash/main/docs/guide/a.md)";

#[test]
fn pages_that_are_listed_and_links_that_lead_somewhere_pass() {
    let page = "# A `b` & c\n\n[here](#a-b--c) [`code`](../../crates/a/src/lib.rs)\n\n\
                ```text\n[x](nowhere.md)\n```\n`[x](nowhere.md)` [x](https://a.example)\n";
    let pages = [
        ("SUMMARY.md", "- [A](guide/a.md)"),
        ("llms.txt", LLMS),
        ("guide/a.md", page),
    ];
    let (passed, text) = check_with_pages("pages", &[("lib.rs", SHOWN)], &pages);
    assert!(passed, "{text}");
}

#[test]
fn a_page_that_the_book_leaves_out_fails() {
    let pages = [
        ("SUMMARY.md", ""),
        ("llms.txt", LLMS),
        ("guide/a.md", "# A\n"),
    ];
    let (passed, text) = check_with_pages("left-out", &[("lib.rs", SHOWN)], &pages);
    let lacking = "docs/SUMMARY.md lacks guide/a.md";
    assert!(!passed && text.contains(lacking), "{text}");
}

#[test]
fn a_page_that_programs_are_not_told_of_fails_and_so_does_one_that_is_gone() {
    let pages = [
        ("SUMMARY.md", "- [B](b.md)"),
        ("llms.txt", LLMS),
        ("b.md", "# B\n"),
    ];
    let (passed, text) = check_with_pages("untold", &[("lib.rs", SHOWN)], &pages);
    assert!(!passed, "{text}");
    assert!(text.contains("docs/llms.txt lacks b.md"), "{text}");
    assert!(text.contains("docs/llms.txt names guide/a.md"), "{text}");
}

#[test]
fn a_link_to_a_file_or_a_heading_that_is_not_there_fails() {
    let pages = [
        ("SUMMARY.md", "- [A](guide/a.md)"),
        ("llms.txt", LLMS),
        (
            "guide/a.md",
            "# A\n\n[gone](b.md)\n[gone](#b)\n[gone](../SUMMARY.md#c)\n",
        ),
    ];
    let (passed, text) = check_with_pages("links", &[("lib.rs", SHOWN)], &pages);
    assert!(!passed, "{text}");
    for place in [
        "docs/guide/a.md:3: b.md",
        "docs/guide/a.md:4: #b",
        "docs/guide/a.md:5: ../SUMMARY.md#c",
    ] {
        assert!(text.contains(place), "{text}");
    }
}
