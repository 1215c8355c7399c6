//! The tests that should notice a mutant: one test binary of one crate, and filters for it.

use std::fmt;

/// Tests of one crate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tier {
    pub(crate) package: String,
    kind: Kind,
    filters: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Integration,
    Unit,
    Documentation,
    /// Every order of threads, in a build of its own; see `.ci/loom`.
    Loom,
}

impl Tier {
    /// Reads `PACKAGE it|lib|doc|loom FILTER...`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut words = text.split_whitespace().map(str::to_owned);
        let package = words.next().ok_or("the tier names no package")?;
        let kind = match words.next().as_deref() {
            Some("it") => Kind::Integration,
            Some("lib") => Kind::Unit,
            Some("doc") => Kind::Documentation,
            Some("loom") => Kind::Loom,
            _ => {
                return Err(format!(
                    "`{text}` does not say `it`, `lib`, `doc` or `loom`"
                ));
            }
        };
        Ok(Self {
            package,
            kind,
            filters: words.collect(),
        })
    }

    /// The fewest tiers that run all the tests of some tiers.
    pub(crate) fn together<'a>(tiers: impl IntoIterator<Item = &'a Self>) -> Vec<Self> {
        let mut sums: Vec<Self> = Vec::new();
        for tier in tiers {
            let fits = |sum: &&mut Self| (&sum.package, sum.kind) == (&tier.package, tier.kind);
            let Some(sum) = sums.iter_mut().find(fits) else {
                sums.push(tier.clone());
                continue;
            };
            // Without a filter all tests run.
            if sum.filters.is_empty() || tier.filters.is_empty() {
                sum.filters.clear();
                continue;
            }
            sum.filters.extend_from_slice(&tier.filters);
            sum.filters.sort();
            sum.filters.dedup();
        }
        sums
    }

    /// The arguments of `cargo` that build the tests and do not run them. Documentation is built
    /// by what runs it; the crate itself stands for it.
    pub(crate) fn build(&self) -> Vec<&str> {
        match self.kind {
            Kind::Integration => vec!["test", "-p", &self.package, "--test", "it", "--no-run"],
            Kind::Unit => vec!["test", "-p", &self.package, "--lib", "--no-run"],
            Kind::Documentation => vec!["build", "-p", &self.package],
            Kind::Loom => {
                let mut arguments = vec!["test", "-p", &self.package];
                arguments.extend(["--test", "loom", "--release", "--no-run"]);
                arguments
            }
        }
    }

    /// The flags of the compiler, and the folder below the target folder, of a build of its own.
    pub(crate) const fn own_build(&self) -> Option<(&'static str, &'static str)> {
        match self.kind {
            Kind::Loom => Some(("--cfg jetwash_loom", "loom")),
            Kind::Integration | Kind::Unit | Kind::Documentation => None,
        }
    }

    /// The arguments of `cargo` that run the tests.
    pub(crate) fn run(&self) -> Vec<&str> {
        let target = match self.kind {
            Kind::Integration => &["--test", "it"][..],
            Kind::Unit => &["--lib"],
            Kind::Documentation => &["--doc"],
            Kind::Loom => &["--test", "loom", "--release"],
        };
        let mut arguments = vec!["test", "-p", &self.package];
        arguments.extend(target);
        arguments.push("--");
        arguments.extend(self.filters.iter().map(String::as_str));
        arguments
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cargo {}", self.run().join(" "))
    }
}
