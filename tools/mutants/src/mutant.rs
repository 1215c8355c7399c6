//! A single edit that breaks the code, and the tests that should notice.

use std::fs;
use std::path::Path;

use crate::tier::Tier;

/// A single edit that breaks the code, as one of the files in `mutants/` describes it.
#[derive(Clone, Debug)]
pub(crate) struct Mutant {
    pub(crate) name: String,
    /// The fault in a sentence.
    pub(crate) fault: String,
    /// The file that is changed, from the root of the workspace.
    pub(crate) file: String,
    pub(crate) old: String,
    pub(crate) new: String,
    /// The tests that should notice. They run in turn until one of them fails.
    pub(crate) tiers: Vec<Tier>,
    pub(crate) expected: Expected,
}

/// The outcome that the baseline names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    Caught,
    /// No test can notice, for the reason that is given.
    Retired(String),
}

impl Mutant {
    /// The crate whose file is changed: the folder under `crates/`.
    pub(crate) fn krate(&self) -> &str {
        self.file.split('/').nth(1).unwrap_or_default()
    }

    /// The text of the changed file with the edit made, and as it was.
    pub(crate) fn edited(&self, root: &Path) -> Result<Edited, String> {
        let path = root.join(&self.file);
        let before = fs::read_to_string(&path)
            .map_err(|error| format!("{}: cannot read {}: {error}", self.name, self.file))?;
        match before.matches(&self.old).count() {
            1 => Ok(Edited {
                after: before.replacen(&self.old, &self.new, 1),
                before,
            }),
            count => Err(format!(
                "{}: the text to replace is in {} {count} times, not once",
                self.name, self.file
            )),
        }
    }
}

/// A file before an edit and after it.
pub(crate) struct Edited {
    pub(crate) before: String,
    pub(crate) after: String,
}

/// Reads all mutants of a folder: its `.txt` files in the order of their names.
pub(crate) fn read_folder(folder: &Path) -> Result<Vec<Mutant>, String> {
    let list = fs::read_dir(folder)
        .map_err(|error| format!("cannot list {}: {error}", folder.display()))?;
    let mut paths: Vec<_> = list
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|it| it == "txt"))
        .collect();
    paths.sort();
    let mut mutants: Vec<Mutant> = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path)
            .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        let read = parse(&text).map_err(|error| format!("{}, {error}", path.display()))?;
        for mutant in read {
            if mutants.iter().any(|known| known.name == mutant.name) {
                return Err(format!("{}: two mutants have this name", mutant.name));
            }
            mutants.push(mutant);
        }
    }
    Ok(mutants)
}

/// Reads the mutants of one file. Lines before the first mutant are for its readers.
fn parse(text: &str) -> Result<Vec<Mutant>, String> {
    let lines: Vec<&str> = text.lines().collect();
    let starts: Vec<usize> = (0..lines.len())
        .filter(|&index| lines[index].starts_with(NAME))
        .collect();
    let ends = starts.iter().skip(1).copied().chain([lines.len()]);
    let parts = starts.iter().zip(ends);
    parts
        .map(|(&start, end)| {
            one(&lines[start..end]).map_err(|what| format!("line {}: {what}", start + 1))
        })
        .collect()
}

// The head has its lines in any order; the two texts are taken as they are, indentation included.
fn one(lines: &[&str]) -> Result<Mutant, String> {
    let place = |wanted| lines.iter().position(|line| *line == wanted);
    let old_at = place(OLD).ok_or("there is no line `-- replace`")?;
    let new_at = place(NEW).ok_or("there is no line `-- with`")?;
    if new_at < old_at {
        return Err("`-- with` is before `-- replace`".to_owned());
    }
    let name = lines[0].trim_start_matches(NAME).trim().to_owned();
    let (mut fault, mut file, mut expected) = (Vec::new(), None, None);
    let mut tiers = Vec::new();
    for line in &lines[1..old_at] {
        match line.split_once(": ") {
            Some(("file", value)) => file = Some(value.trim().to_owned()),
            Some(("tier", value)) => tiers.push(Tier::parse(value)?),
            Some(("expect", "caught")) => expected = Some(Expected::Caught),
            Some(("expect", value)) => match value.strip_prefix("retired: ") {
                Some(reason) => expected = Some(Expected::Retired(reason.to_owned())),
                None => return Err(format!("`{value}` is not an outcome")),
            },
            _ => fault.push(line.trim()),
        }
    }
    let old = lines[old_at + 1..new_at].join("\n");
    let new = lines[new_at + 1..].join("\n").trim_end().to_owned();
    if old.trim().is_empty() || old == new {
        return Err("the edit changes nothing".to_owned());
    }
    if tiers.is_empty() {
        return Err("there is no line `tier: …`".to_owned());
    }
    Ok(Mutant {
        name,
        fault: fault.join(" ").trim().to_owned(),
        file: file.ok_or("there is no line `file: …`")?,
        old,
        new,
        tiers,
        expected: expected.ok_or("there is no line `expect: …`")?,
    })
}

const NAME: &str = "== ";
const OLD: &str = "-- replace";
const NEW: &str = "-- with";
