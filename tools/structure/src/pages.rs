//! Finds pages of `docs` that the book or `llms.txt` leaves out, and links in pages that lead nowhere.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Component, Path, PathBuf};

use crate::prose;
use crate::source::read;

/// Where the pages are read by programs, as `docs/llms.txt` names them.
const RAW: &str = "https://raw.githubusercontent.com/jetwash/jetwash/main/docs/";

/// Lists the pages below `docs` that `docs/SUMMARY.md` lacks, and where `docs/llms.txt` differs from it.
///
/// A workspace without `docs` has no pages.
pub(crate) fn unlisted(root: &Path) -> Result<Vec<String>, String> {
    let docs = root.join("docs");
    if !docs.is_dir() {
        return Ok(Vec::new());
    }
    let pages: BTreeSet<PathBuf> = pages_below(&docs)?
        .into_iter()
        .filter_map(|page| Some(page.strip_prefix(&docs).ok()?.to_owned()))
        .filter(|page| page != Path::new("SUMMARY.md"))
        .collect();
    let summary = paths_in(&read(&docs.join("SUMMARY.md"))?, "");
    let listed = paths_in(&read(&docs.join("llms.txt"))?, RAW);
    let lacking = |list: &str, wanted: &BTreeSet<PathBuf>, given: &BTreeSet<PathBuf>| {
        let missing = wanted.difference(given);
        missing
            .map(|page| format!("docs/{list} lacks {}", page.display()))
            .collect::<Vec<_>>()
    };
    let mut found = lacking("SUMMARY.md", &pages, &summary);
    found.extend(lacking("llms.txt", &pages, &listed));
    let unknown = listed.difference(&pages);
    found.extend(unknown.map(|page| format!("docs/llms.txt names {}", page.display())));
    Ok(found)
}

/// Lists each link to a file or a heading of the workspace that is not there, as `file:line: target`.
///
/// Links to other hosts are not followed.
pub(crate) fn broken_links(root: &Path) -> Result<Vec<String>, String> {
    let mut headings = HashMap::new();
    let mut found = Vec::new();
    for page in pages_below(root)? {
        let folder = page.parent().unwrap_or(root);
        for (line, target) in links_of(&read(&page)?) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (path, heading) = target.split_once('#').unwrap_or((&target, ""));
            let file = match path {
                "" => page.clone(),
                path => plain(&folder.join(path)),
            };
            if !file.exists() || !heading.is_empty() && !has_heading(&mut headings, &file, heading)?
            {
                let place = page.strip_prefix(root).unwrap_or(&page).display();
                found.push(format!("{place}:{line}: {target}"));
            }
        }
    }
    Ok(found)
}

fn pages_below(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    prose::collect(folder, &mut files)?;
    files.retain(|file| file.extension().is_some_and(|kind| kind == "md"));
    files.sort();
    Ok(files)
}

/// The targets of links that begin with `prefix`, without it.
fn paths_in(text: &str, prefix: &str) -> BTreeSet<PathBuf> {
    let links = links_of(text).into_iter();
    links
        .filter_map(|(_, target)| Some(PathBuf::from(target.strip_prefix(prefix)?)))
        .collect()
}

/// The links of a page with their lines, counted from 1, outside of code.
fn links_of(text: &str) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    for (number, line) in lines_outside_fences(text) {
        // Every other piece is between backticks.
        for prose in line.split('`').step_by(2) {
            let targets = prose.split("](").skip(1);
            links.extend(targets.filter_map(|rest| {
                let (target, _) = rest.split_once(')')?;
                Some((number, target.to_owned()))
            }));
        }
    }
    links
}

fn lines_outside_fences(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        (!fenced && !fence).then_some((index + 1, line))
    })
}

/// Whether a page has a heading of that name in addresses.
fn has_heading(
    known: &mut HashMap<PathBuf, BTreeSet<String>>,
    page: &Path,
    heading: &str,
) -> Result<bool, String> {
    if page.extension().is_none_or(|kind| kind != "md") {
        return Ok(true);
    }
    if !known.contains_key(page) {
        known.insert(page.to_owned(), headings_of(&read(page)?));
    }
    Ok(known.get(page).is_some_and(|names| names.contains(heading)))
}

/// The names that GitHub and mdBook give to headings: of several equal ones the later have a number.
fn headings_of(text: &str) -> BTreeSet<String> {
    let mut counts = BTreeMap::new();
    let mut names = BTreeSet::new();
    for (_, line) in lines_outside_fences(text) {
        let title = line.trim_start_matches('#');
        if title.len() == line.len() || !title.starts_with(' ') {
            continue;
        }
        let name: String = title
            .trim()
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
            .map(|c| if c == ' ' { '-' } else { c })
            .flat_map(char::to_lowercase)
            .collect();
        let count = counts.entry(name.clone()).or_insert(0usize);
        let earlier = *count;
        *count += 1;
        names.insert(match earlier {
            0 => name,
            earlier => format!("{name}-{earlier}"),
        });
    }
    names
}

/// The path without `.` and `..`, as links are resolved: through no symbolic link.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if plain.file_name().is_some() => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}
