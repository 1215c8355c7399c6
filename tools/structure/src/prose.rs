//! Finds phrases that plain English would not have. The style sheet is in `CONTRIBUTING.md`.

use std::fs;
use std::path::{Path, PathBuf};

/// A phrase to avoid, and where it counts.
struct Phrase {
    text: &'static str,
    place: Place,
}

enum Place {
    /// At the start of a documentation comment's line.
    Start,
    /// Anywhere in a comment, a string or a page.
    Anywhere,
}

const PHRASES: &[Phrase] = &[
    Phrase {
        text: "What ",
        place: Place::Start,
    },
    Phrase {
        text: "That a",
        place: Place::Start,
    },
    Phrase {
        text: "That it",
        place: Place::Start,
    },
    Phrase {
        text: "That the",
        place: Place::Start,
    },
    Phrase {
        text: "so many",
        place: Place::Anywhere,
    },
    Phrase {
        text: "as many as",
        place: Place::Anywhere,
    },
    Phrase {
        text: "whoever",
        place: Place::Anywhere,
    },
    Phrase {
        text: "that is none",
        place: Place::Anywhere,
    },
    Phrase {
        text: "which is none",
        place: Place::Anywhere,
    },
    Phrase {
        text: "that are none",
        place: Place::Anywhere,
    },
    Phrase {
        text: "is none of",
        place: Place::Anywhere,
    },
    Phrase {
        text: "there is none",
        place: Place::Anywhere,
    },
    Phrase {
        text: "to be had",
        place: Place::Anywhere,
    },
    Phrase {
        text: "can be had",
        place: Place::Anywhere,
    },
    Phrase {
        text: "of theirs",
        place: Place::Anywhere,
    },
    Phrase {
        text: "of its own",
        place: Place::Anywhere,
    },
    Phrase {
        text: "brings along",
        place: Place::Anywhere,
    },
    Phrase {
        text: "has it that",
        place: Place::Anywhere,
    },
    Phrase {
        text: "in earnest",
        place: Place::Anywhere,
    },
    Phrase {
        text: "Gives of",
        place: Place::Anywhere,
    },
    Phrase {
        text: "let alone",
        place: Place::Anywhere,
    },
    Phrase {
        text: "those that",
        place: Place::Anywhere,
    },
    Phrase {
        text: "than is ",
        place: Place::Anywhere,
    },
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
        // The list itself has to name them.
        if file.ends_with("tools/structure/src/prose.rs") {
            continue;
        }
        for (index, line) in text.lines().enumerate() {
            for phrase in PHRASES {
                if stands_in(phrase, line, code) {
                    let place = file.strip_prefix(root).unwrap_or(&file).display();
                    found.push(format!("{place}:{}: {}", index + 1, line.trim()));
                }
            }
        }
    }
    Ok(found)
}

fn stands_in(phrase: &Phrase, line: &str, code: bool) -> bool {
    let text = line.trim_start();
    match phrase.place {
        Place::Start => {
            let docs = text
                .strip_prefix("/// ")
                .or_else(|| text.strip_prefix("//! "));
            docs.is_some_and(|docs| docs.starts_with(phrase.text))
        }
        Place::Anywhere => {
            let prose = !code || text.contains("//") || text.contains('"');
            prose && line.to_lowercase().contains(&phrase.text.to_lowercase())
        }
    }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), String> {
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
