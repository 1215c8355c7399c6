//! Measures the structure of this workspace and prints it as a table.
//!
//! ```text
//! cargo run -p jetwash-structure                 # the table
//! cargo run -p jetwash-structure -- --list       # and every place that it counts
//! cargo run -p jetwash-structure -- --check      # fails unless each count is within its limit
//! ```
//!
//! Tests are not measured, and comments in them only for their prose.

mod circles;
mod functions;
mod names;
mod pages;
mod prose;
mod public;
mod source;

use std::path::Path;
use std::process::ExitCode;

use functions::Function;
use source::{Crate, ModulePath};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let list = arguments.iter().any(|argument| argument == "--list");
    let check = arguments.iter().any(|argument| argument == "--check");
    let root = arguments
        .iter()
        .find(|argument| !argument.starts_with("--"));
    let root = root.map_or_else(|| Path::new("."), Path::new);
    let rows = match measure(root) {
        Ok(rows) => rows,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    println!("| measure | value | limit |\n|---|---|---|");
    let mut kept = true;
    for row in &rows {
        let limit = row
            .limit
            .map_or_else(String::new, |limit| limit.to_string());
        println!("| {} | {} | {limit} |", row.name, row.text);
        kept &= row.limit.is_none_or(|limit| row.value <= limit);
    }
    for row in &rows {
        let over = row.limit.is_some_and(|limit| row.value > limit);
        if (list || check && over) && !row.places.is_empty() {
            println!("\n{}:", row.name);
            row.places.iter().for_each(|place| println!("  {place}"));
        }
    }
    if check && !kept {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

/// One line of the table.
struct Row {
    name: &'static str,
    text: String,
    value: usize,
    limit: Option<usize>,
    places: Vec<String>,
}

impl Row {
    fn count(name: &'static str, limit: Option<usize>, places: Vec<String>) -> Self {
        let value = places.len();
        Self {
            name,
            text: value.to_string(),
            value,
            limit,
            places,
        }
    }
}

fn measure(root: &Path) -> Result<Vec<Row>, String> {
    let crates = source::read_workspace(root)?;
    let mut functions: Vec<Function> = crates
        .iter()
        .flat_map(|krate| krate.modules.values())
        .flat_map(functions::functions_of)
        .collect();
    functions.sort_by_key(|function| function.lines);
    let at = |share: usize| {
        functions
            .get(functions.len() * share / 100)
            .map_or(0, |it| it.lines)
    };
    let long = functions
        .iter()
        .filter(|function| function.lines > 70)
        .map(place_of)
        .collect();
    let over: Vec<&Function> = functions
        .iter()
        .filter(|function| function.lines > 25)
        .collect();
    let silent: Vec<String> = over
        .iter()
        .filter(|function| !function.commented)
        .map(|it| place_of(it))
        .collect();
    let share = silent.len() * 100 / over.len().max(1);
    Ok(vec![
        Row::count(
            "public names with two meanings",
            Some(0),
            double_names(&crates),
        ),
        Row::count("modules in circles", Some(0), in_circles(&crates)),
        Row::count("files over 500 lines", None, long_files(&crates)),
        Row::count("functions over 70 lines", Some(0), long),
        Row::count("functions", None, Vec::new()).with(functions.len()),
        Row::count("lines of a function, median", None, Vec::new()).with(at(50)),
        Row::count("lines of a function, p95", None, Vec::new()).with(at(95)),
        Row::count("functions over 25 lines", None, Vec::new()).with(over.len()),
        Row {
            name: "of these without a comment, per cent",
            text: share.to_string(),
            value: share,
            limit: Some(35),
            places: silent,
        },
        Row::count("stilted phrases", Some(0), prose::stilted(root)?),
        Row::count("pages left out", Some(0), pages::unlisted(root)?),
        Row::count("broken links", Some(0), pages::broken_links(root)?),
        examples(&crates),
    ])
}

impl Row {
    fn with(mut self, value: usize) -> Self {
        self.value = value;
        self.text = value.to_string();
        self
    }
}

fn place_of(function: &Function) -> String {
    format!(
        "{}:{}: {} ({} lines)",
        function.file.display(),
        function.line,
        function.name,
        function.lines
    )
}

fn double_names(crates: &[Crate]) -> Vec<String> {
    public::public_names(crates)
        .into_iter()
        .filter(|(_, definitions)| definitions.len() > 1)
        .map(|(name, definitions)| {
            let places: Vec<String> = definitions
                .iter()
                .map(|(krate, path, original)| format!("{krate}::{}::{original}", path.join("::")))
                .collect();
            format!("{name}: {}", places.join(", "))
        })
        .collect()
}

fn in_circles(crates: &[Crate]) -> Vec<String> {
    let mut places = Vec::new();
    for krate in crates {
        let uses = circles::uses_of(krate);
        for group in circles::circles(&uses) {
            for module in &group {
                places.push(member(krate, module, &group, &uses));
            }
        }
    }
    places
}

fn member(
    krate: &Crate,
    module: &ModulePath,
    group: &[ModulePath],
    uses: &circles::Uses,
) -> String {
    let used: Vec<String> = uses[module]
        .iter()
        .filter(|(target, _)| group.contains(target))
        .map(|(target, names)| {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            format!("{} ({})", target.join("::"), names.join(", "))
        })
        .collect();
    format!(
        "{}::{} -> {}",
        krate.name,
        module.join("::"),
        used.join("; ")
    )
}

fn long_files(crates: &[Crate]) -> Vec<String> {
    crates
        .iter()
        .flat_map(|krate| krate.modules.values())
        .map(|module| (module.text.lines().count(), &module.file))
        .filter(|(lines, _)| *lines > 500)
        .map(|(lines, file)| format!("{}: {lines}", file.display()))
        .collect()
}

fn examples(crates: &[Crate]) -> Row {
    let types = public::types_with_examples(crates);
    let shown = types.iter().filter(|(_, shown)| *shown).count();
    let places: Vec<String> = types
        .iter()
        .filter(|(_, shown)| !shown)
        .map(|(name, _)| name.clone())
        .collect();
    Row {
        name: "public types without an example",
        text: format!("{} of {}", types.len() - shown, types.len()),
        value: places.len(),
        limit: Some(0),
        places,
    }
}
