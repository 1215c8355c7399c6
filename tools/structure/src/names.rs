//! Resolves paths to the module that defines what they name.

use std::collections::BTreeMap;

use crate::source::{Crate, ModulePath, is_hidden, is_public};

/// The names that `use` declarations bring into each module.
pub(crate) struct Names<'a> {
    krate: &'a Crate,
    imports: BTreeMap<&'a [String], Vec<Import>>,
}

/// One name that a `use` declaration brings in; `name` is `None` for a glob.
#[derive(Clone)]
pub(crate) struct Import {
    pub(crate) name: Option<String>,
    pub(crate) path: Vec<String>,
    pub(crate) public: bool,
    /// Whether it hands the name on, to any part of the crate or to its users.
    pub(crate) reexport: bool,
}

impl<'a> Names<'a> {
    pub(crate) fn new(krate: &'a Crate) -> Self {
        let imports = krate
            .modules
            .iter()
            .map(|(path, module)| (path.as_slice(), imports_of(&module.items)))
            .collect();
        Self { krate, imports }
    }

    pub(crate) fn imports(&self, module: &[String]) -> &[Import] {
        self.imports.get(module).map_or(&[], Vec::as_slice)
    }

    /// Finds the module that defines what `path` names, seen from the module `from`. `None` if it
    /// is not of this crate.
    pub(crate) fn resolve(&self, from: &[String], path: &[String]) -> Option<ModulePath> {
        self.resolve_within(from, path, 16)
    }

    fn resolve_within(&self, from: &[String], path: &[String], depth: u8) -> Option<ModulePath> {
        let depth = depth.checked_sub(1)?;
        let mut at = from.to_vec();
        let mut rest = path;
        match rest.first()?.as_str() {
            "crate" => {
                at.clear();
                rest = rest.get(1..)?;
            }
            "self" => rest = rest.get(1..)?,
            "super" => {}
            first => {
                // A name that this module imports or declares; anything else is of another crate,
                // of the language, or local.
                if !self.is_module(&at, first) && self.import(&at, first).is_none() {
                    return None;
                }
            }
        }
        while rest.first().is_some_and(|segment| segment == "super") {
            at.pop()?;
            rest = rest.get(1..)?;
        }
        while let Some((segment, after)) = rest.split_first() {
            if self.is_module(&at, segment) {
                at.push(segment.clone());
                rest = after;
                continue;
            }
            if let Some(import) = self.import(&at, segment) {
                let full: Vec<String> = import.path.iter().chain(after).cloned().collect();
                return self.resolve_within(&at, &full, depth);
            }
            for import in self
                .imports(&at)
                .iter()
                .filter(|import| import.name.is_none())
            {
                let full: Vec<String> = import.path.iter().chain(rest).cloned().collect();
                if let Some(found) = self.resolve_within(&at, &full, depth)
                    && self.defines(&found, segment)
                {
                    return Some(found);
                }
            }
            break;
        }
        Some(at)
    }

    fn is_module(&self, at: &[String], name: &str) -> bool {
        let path: Vec<String> = at.iter().cloned().chain([name.to_owned()]).collect();
        self.krate.modules.contains_key(&path)
    }

    fn import(&self, at: &[String], name: &str) -> Option<&Import> {
        self.imports(at)
            .iter()
            .find(|import| import.name.as_deref() == Some(name))
    }

    fn defines(&self, at: &[String], name: &str) -> bool {
        self.krate.modules.get(at).is_some_and(|module| {
            module
                .items
                .iter()
                .any(|item| defined_name(item).is_some_and(|it| it == name))
        })
    }
}

/// The name that an item gives to a type, trait, function or constant.
pub(crate) fn defined_name(item: &syn::Item) -> Option<&syn::Ident> {
    match item {
        syn::Item::Struct(item) => Some(&item.ident),
        syn::Item::Enum(item) => Some(&item.ident),
        syn::Item::Trait(item) => Some(&item.ident),
        syn::Item::Type(item) => Some(&item.ident),
        syn::Item::Fn(item) => Some(&item.sig.ident),
        syn::Item::Const(item) => Some(&item.ident),
        syn::Item::Static(item) => Some(&item.ident),
        _ => None,
    }
}

fn imports_of(items: &[syn::Item]) -> Vec<Import> {
    let mut imports = Vec::new();
    for item in items {
        if let syn::Item::Use(item) = item {
            let public = is_public(&item.vis) && !is_hidden(&item.attrs);
            let reexport = !matches!(item.vis, syn::Visibility::Inherited);
            let handed = Import {
                name: None,
                path: Vec::new(),
                public,
                reexport,
            };
            add_tree(&item.tree, &handed, &mut imports);
        }
    }
    imports
}

fn add_tree(tree: &syn::UseTree, above: &Import, imports: &mut Vec<Import>) {
    let mut add = |name: Option<String>, segment: Option<String>| {
        let path = above.path.iter().cloned().chain(segment).collect();
        imports.push(Import {
            name,
            path,
            ..above.clone()
        });
    };
    match tree {
        syn::UseTree::Name(name) if name.ident == "self" => {
            add(above.path.last().cloned(), None);
        }
        syn::UseTree::Name(name) => {
            add(Some(name.ident.to_string()), Some(name.ident.to_string()));
        }
        syn::UseTree::Rename(rename) => {
            add(
                Some(rename.rename.to_string()),
                Some(rename.ident.to_string()),
            );
        }
        syn::UseTree::Glob(_) => add(None, None),
        syn::UseTree::Path(path) => {
            let mut below = above.clone();
            below.path.push(path.ident.to_string());
            add_tree(&path.tree, &below, imports);
        }
        syn::UseTree::Group(group) => {
            for tree in &group.items {
                add_tree(tree, above, imports);
            }
        }
    }
}
