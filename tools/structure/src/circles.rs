//! Finds modules that use each other in a circle.

use std::collections::{BTreeMap, BTreeSet};

use syn::visit::{self, Visit};

use crate::names::Names;
use crate::source::{Crate, ModulePath, is_for_tests};

/// The modules that each module uses, and the names it uses of them.
pub(crate) type Uses = BTreeMap<ModulePath, BTreeMap<ModulePath, BTreeSet<String>>>;

/// Collects which modules of a crate use which. What a module only hands on is not a use.
pub(crate) fn uses_of(krate: &Crate) -> Uses {
    let names = Names::new(krate);
    let mut uses = Uses::new();
    for (path, module) in &krate.modules {
        let mut visitor = Paths::default();
        for item in &module.items {
            visitor.visit_item(item);
        }
        for import in names.imports(path).iter().filter(|import| !import.reexport) {
            visitor.found.push(import.path.clone());
        }
        let mut used: BTreeMap<ModulePath, BTreeSet<String>> = BTreeMap::new();
        for found in visitor.found {
            if let Some(target) = names.resolve(path, &found)
                && target != *path
            {
                let name = found.last().cloned().unwrap_or_default();
                used.entry(target).or_default().insert(name);
            }
        }
        uses.insert(path.clone(), used);
    }
    uses
}

/// Groups of modules of which each reaches every other.
pub(crate) fn circles(uses: &Uses) -> Vec<Vec<ModulePath>> {
    let reach: BTreeMap<&ModulePath, BTreeSet<&ModulePath>> = uses
        .keys()
        .map(|from| (from, reachable(uses, from)))
        .collect();
    let mut seen: BTreeSet<&ModulePath> = BTreeSet::new();
    let mut groups = Vec::new();
    for from in uses.keys() {
        if seen.contains(from) {
            continue;
        }
        let group: Vec<&ModulePath> = uses
            .keys()
            .filter(|to| reach[from].contains(to) && reach[to].contains(from))
            .collect();
        if group.len() > 1 {
            seen.extend(&group);
            groups.push(group.into_iter().cloned().collect());
        }
    }
    groups
}

fn reachable<'a>(uses: &'a Uses, from: &'a ModulePath) -> BTreeSet<&'a ModulePath> {
    let mut found = BTreeSet::new();
    let mut open = vec![from];
    while let Some(at) = open.pop() {
        for next in uses.get(at).into_iter().flat_map(BTreeMap::keys) {
            if found.insert(next) {
                open.push(next);
            }
        }
    }
    found
}

/// Collects every path of a tree but those of tests and of `use` declarations.
#[derive(Default)]
struct Paths {
    found: Vec<Vec<String>>,
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.found.push(
            path.segments
                .iter()
                .map(|segment| segment.ident.to_string())
                .collect(),
        );
        visit::visit_path(self, path);
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if !is_for_tests(&module.attrs) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_use(&mut self, _: &'ast syn::ItemUse) {}

    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    // Paths in attributes name macros and conditions.
    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}
}
