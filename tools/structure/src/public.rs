//! Lists what users of the libraries see: names and the examples that stand beside them.

use std::collections::{BTreeMap, BTreeSet};

use crate::names::{Names, defined_name};
use crate::source::{Crate, ModulePath, docs_of, is_hidden, is_public};

/// Where something is defined: its crate, its module and its name there.
type Definition = (String, ModulePath, String);

/// The public names of all published libraries, and what each means.
pub(crate) fn public_names(crates: &[Crate]) -> BTreeMap<String, BTreeSet<Definition>> {
    let mut names: BTreeMap<String, BTreeSet<Definition>> = BTreeMap::new();
    for krate in libraries(crates) {
        for (name, definition) in exported(krate) {
            names.entry(name).or_default().insert(definition);
        }
    }
    names
}

/// The public types of a published library, and whether an example stands on the type or on one of
/// its functions.
pub(crate) fn types_with_examples(crates: &[Crate]) -> Vec<(String, bool)> {
    let mut types = Vec::new();
    for krate in libraries(crates) {
        let exported: BTreeSet<Definition> = exported(krate)
            .into_iter()
            .map(|(_, definition)| definition)
            .collect();
        for (path, module) in &krate.modules {
            for item in &module.items {
                let Some((name, attributes)) = type_of(item) else {
                    continue;
                };
                let definition = (krate.name.clone(), path.clone(), name.clone());
                if exported.contains(&definition) {
                    let shown = has_example(attributes) || methods_show(krate, &name);
                    types.push((format!("{}::{name}", krate.name), shown));
                }
            }
        }
    }
    types
}

fn libraries(crates: &[Crate]) -> impl Iterator<Item = &Crate> {
    crates
        .iter()
        .filter(|krate| krate.library && krate.published)
}

/// The public definitions of a library, by the name under which it shows them.
fn exported(krate: &Crate) -> Vec<(String, Definition)> {
    let names = Names::new(krate);
    let mut found = Vec::new();
    for (path, module) in krate.modules.iter().filter(|(_, module)| module.public) {
        for item in &module.items {
            if let Some((name, visibility, attributes)) = declared(item)
                && is_public(visibility)
                && !is_hidden(attributes)
            {
                found.push((name.clone(), (krate.name.clone(), path.clone(), name)));
            }
        }
        for import in names.imports(path).iter().filter(|import| import.public) {
            let (Some(name), Some(original)) = (&import.name, import.path.last()) else {
                continue;
            };
            let Some(target) = names.resolve(path, &import.path) else {
                continue;
            };
            // A module that is handed on is no name of a type.
            if target.last() != Some(original)
                || krate.modules[&target]
                    .items
                    .iter()
                    .any(|item| defined_name(item).is_some_and(|defined| defined == original))
            {
                found.push((name.clone(), (krate.name.clone(), target, original.clone())));
            }
        }
    }
    found
}

fn declared(item: &syn::Item) -> Option<(String, &syn::Visibility, &[syn::Attribute])> {
    let (visibility, attributes) = match item {
        syn::Item::Struct(item) => (&item.vis, &item.attrs),
        syn::Item::Enum(item) => (&item.vis, &item.attrs),
        syn::Item::Trait(item) => (&item.vis, &item.attrs),
        syn::Item::Type(item) => (&item.vis, &item.attrs),
        syn::Item::Fn(item) => (&item.vis, &item.attrs),
        syn::Item::Const(item) => (&item.vis, &item.attrs),
        _ => return None,
    };
    Some((defined_name(item)?.to_string(), visibility, attributes))
}

fn type_of(item: &syn::Item) -> Option<(String, &[syn::Attribute])> {
    match item {
        syn::Item::Struct(item) => Some((item.ident.to_string(), &item.attrs)),
        syn::Item::Enum(item) => Some((item.ident.to_string(), &item.attrs)),
        syn::Item::Trait(item) => Some((item.ident.to_string(), &item.attrs)),
        _ => None,
    }
}

fn has_example(attributes: &[syn::Attribute]) -> bool {
    docs_of(attributes)
        .iter()
        .any(|line| line.starts_with("```"))
}

fn methods_show(krate: &Crate, name: &str) -> bool {
    krate
        .modules
        .values()
        .flat_map(|module| &module.items)
        .any(|item| {
            let syn::Item::Impl(item) = item else {
                return false;
            };
            let syn::Type::Path(of) = &*item.self_ty else {
                return false;
            };
            let same = of
                .path
                .segments
                .last()
                .is_some_and(|segment| segment.ident == name);
            same && item.items.iter().any(|item| match item {
                syn::ImplItem::Fn(function) => has_example(&function.attrs),
                _ => false,
            })
        })
}
