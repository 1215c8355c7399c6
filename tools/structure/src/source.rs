//! Reads the workspace: its packages, and their modules as syntax trees.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The path of a module inside its crate; the root has none.
pub(crate) type ModulePath = Vec<String>;

/// One source file and what it declares.
pub(crate) struct Module {
    pub(crate) file: PathBuf,
    pub(crate) text: String,
    pub(crate) items: Vec<syn::Item>,
    /// Whether every module above it, and it itself, is public and shown in the documentation.
    pub(crate) public: bool,
}

/// One library or program.
pub(crate) struct Crate {
    pub(crate) name: String,
    pub(crate) library: bool,
    pub(crate) published: bool,
    pub(crate) modules: BTreeMap<ModulePath, Module>,
}

/// Reads all libraries and programs below the folders of `root` that hold packages.
pub(crate) fn read_workspace(root: &Path) -> Result<Vec<Crate>, String> {
    let mut crates = Vec::new();
    for group in ["crates", "examples", "tools"] {
        for folder in folders(&root.join(group))? {
            crates.extend(read_package(&folder)?);
        }
    }
    crates.extend(read_package(&root.join("benches"))?);
    Ok(crates)
}

fn folders(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(Vec::new());
    };
    let mut found: Vec<PathBuf> = entries
        .map(|entry| {
            entry
                .map(|entry| entry.path())
                .map_err(|error| error.to_string())
        })
        .collect::<Result<_, _>>()?;
    found.retain(|path| path.join("Cargo.toml").is_file());
    found.sort();
    Ok(found)
}

fn read_package(folder: &Path) -> Result<Vec<Crate>, String> {
    let manifest = read(&folder.join("Cargo.toml"))?;
    let name = manifest
        .lines()
        .find_map(|line| line.strip_prefix("name = \""))
        .map(|rest| rest.trim_end_matches('"').replace('-', "_"))
        .ok_or_else(|| format!("{} names no package", folder.display()))?;
    let published = !manifest.contains("publish = false");
    let mut crates = Vec::new();
    for (file, library) in entry_points(folder)? {
        let mut modules = BTreeMap::new();
        read_module(&file, &[], true, &mut modules)?;
        crates.push(Crate {
            name: name.clone(),
            library,
            published,
            modules,
        });
    }
    Ok(crates)
}

fn entry_points(folder: &Path) -> Result<Vec<(PathBuf, bool)>, String> {
    let source = folder.join("src");
    let mut found = vec![
        (source.join("lib.rs"), true),
        (source.join("main.rs"), false),
    ];
    for place in [source.join("bin"), folder.join("benches")] {
        let Ok(entries) = fs::read_dir(&place) else {
            continue;
        };
        for entry in entries {
            let path = entry.map_err(|error| error.to_string())?.path();
            let program = if path.is_dir() {
                path.join("main.rs")
            } else {
                path
            };
            found.push((program, false));
        }
    }
    found.retain(|(path, _)| path.extension().is_some_and(|kind| kind == "rs") && path.is_file());
    Ok(found)
}

fn read_module(
    file: &Path,
    path: &[String],
    public: bool,
    modules: &mut BTreeMap<ModulePath, Module>,
) -> Result<(), String> {
    let text = read(file)?;
    let tree = syn::parse_file(&text).map_err(|error| format!("{}: {error}", file.display()))?;
    let folder = folder_of_children(file);
    for item in &tree.items {
        if let syn::Item::Mod(child) = item
            && child.content.is_none()
            && !is_for_tests(&child.attrs)
        {
            let name = child.ident.to_string();
            let below = public && is_public(&child.vis) && !is_hidden(&child.attrs);
            let flat = folder.join(format!("{name}.rs"));
            let nested = folder.join(&name).join("mod.rs");
            let file = if flat.is_file() { flat } else { nested };
            let path: Vec<String> = path.iter().cloned().chain([name]).collect();
            read_module(&file, &path, below, modules)?;
        }
    }
    let module = Module {
        file: file.to_owned(),
        text,
        items: tree.items,
        public,
    };
    modules.insert(path.to_vec(), module);
    Ok(())
}

/// Modules of `lib.rs`, `main.rs` and `mod.rs` lie beside the file, those of others below it.
fn folder_of_children(file: &Path) -> PathBuf {
    let stem = file
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let folder = file.parent().unwrap_or_else(|| Path::new(".")).to_owned();
    let beside = ["lib", "main", "mod"].contains(&stem.as_str())
        || folder.ends_with("bin")
        || folder.ends_with("benches");
    if beside { folder } else { folder.join(stem) }
}

pub(crate) fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

pub(crate) fn is_public(visibility: &syn::Visibility) -> bool {
    matches!(visibility, syn::Visibility::Public(_))
}

/// Whether an item is compiled for tests only.
pub(crate) fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute
                .parse_args::<syn::Path>()
                .is_ok_and(|condition| condition.is_ident("test"))
    })
}

pub(crate) fn is_hidden(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("doc")
            && attribute
                .parse_args::<syn::Path>()
                .is_ok_and(|what| what.is_ident("hidden"))
    })
}

/// The documentation of an item, one line of text each.
pub(crate) fn docs_of(attributes: &[syn::Attribute]) -> Vec<String> {
    let mut lines = Vec::new();
    for attribute in attributes {
        if let syn::Meta::NameValue(pair) = &attribute.meta
            && pair.path.is_ident("doc")
            && let syn::Expr::Lit(literal) = &pair.value
            && let syn::Lit::Str(text) = &literal.lit
        {
            lines.extend(text.value().lines().map(|line| line.trim().to_owned()));
        }
    }
    lines
}
