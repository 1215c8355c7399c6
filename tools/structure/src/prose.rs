//! Finds phrases that plain English would not have. The style sheet is in `CONTRIBUTING.md`.

use std::fs;
use std::path::{Path, PathBuf};

/// Words with which no line of documentation begins.
const STARTS: &[&str] = &["What ", "That a", "That it", "That the"];

/// Phrases that stand in no comment, text or page.
const PHRASES: &[&str] = &[
    "so many",
    "whoever",
    "is none",
    "are none",
    "to be had",
    "be had back",
    "can be had",
    "brings along",
    "brought along",
    "has it that",
    "in earnest",
    "gives of",
    "as if by",
];

/// Lists every stilted phrase below `root` as `file:line: phrase`.
pub(crate) fn stilted(root: &Path) -> Result<Vec<String>, String> {
    let mut files = Vec::new();
    collect(root, &mut files)?;
    files.sort();
    let mut found = Vec::new();
    for file in files {
        let text = crate::source::read(&file)?;
        let code = file.extension().is_some_and(|kind| kind == "rs");
        // These two have to name them.
        if file.ends_with("tools/structure/src/prose.rs") || file.ends_with("CONTRIBUTING.md") {
            continue;
        }
        for (index, line) in text.lines().enumerate() {
            for phrase in phrases_in(line, code) {
                let place = file.strip_prefix(root).unwrap_or(&file).display();
                found.push(format!(
                    "{place}:{}: \"{phrase}\": {}",
                    index + 1,
                    line.trim()
                ));
            }
        }
    }
    Ok(found)
}

fn phrases_in(line: &str, code: bool) -> Vec<&'static str> {
    let text = line.trim_start();
    let docs = text
        .strip_prefix("/// ")
        .or_else(|| text.strip_prefix("//! "));
    let starts = |start: &&&str| docs.is_some_and(|docs| docs.starts_with(**start));
    let prose = !code || text.contains("//") || text.contains('"');
    let lower = line.to_lowercase();
    let stands = |phrase: &&&str| prose && lower.contains(**phrase);
    let starting = STARTS.iter().filter(starts);
    starting
        .chain(PHRASES.iter().filter(stands))
        .copied()
        .collect()
}

/// Adds the pages and sources below a folder: nothing that is built, hidden or generated.
pub(crate) fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for entry in entries {
        let path = entry.map_err(|error| error.to_string())?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let kind = path.extension().unwrap_or_default();
        if path.is_dir() {
            let skipped = name == "target" || name.starts_with('.') && name != ".ci";
            if !skipped && name != "corpus" && name != "artifacts" {
                collect(&path, files)?;
            }
        } else if kind == "rs" || kind == "md" && name != "CHANGELOG.md" {
            files.push(path);
        }
    }
    Ok(())
}
