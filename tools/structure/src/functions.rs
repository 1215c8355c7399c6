//! Measures functions.

use std::path::PathBuf;

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use crate::source::{Module, is_for_tests};

/// One function outside tests.
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) file: PathBuf,
    pub(crate) line: usize,
    /// Lines from the signature to the closing brace, both counted.
    pub(crate) lines: usize,
    /// Whether a comment stands inside it.
    pub(crate) commented: bool,
}

/// Lists the functions of a file; closures count as part of theirs.
pub(crate) fn functions_of(module: &Module) -> Vec<Function> {
    let mut visitor = Functions {
        module,
        found: Vec::new(),
    };
    for item in &module.items {
        visitor.visit_item(item);
    }
    visitor.found
}

struct Functions<'a> {
    module: &'a Module,
    found: Vec<Function>,
}

impl Functions<'_> {
    fn add(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let first = signature.span().start().line;
        let last = block.span().end().line;
        let inside = self
            .module
            .text
            .lines()
            .skip(first - 1)
            .take(last + 1 - first);
        self.found.push(Function {
            name: signature.ident.to_string(),
            file: self.module.file.clone(),
            line: first,
            lines: last + 1 - first,
            commented: inside
                .into_iter()
                .any(|line| line.trim_start().starts_with("//")),
        });
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        if !is_for_tests(&function.attrs) {
            self.add(&function.sig, &function.block);
            visit::visit_item_fn(self, function);
        }
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.add(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(block) = &function.default {
            self.add(&function.sig, block);
        }
        visit::visit_trait_item_fn(self, function);
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if !is_for_tests(&module.attrs) {
            visit::visit_item_mod(self, module);
        }
    }
}
