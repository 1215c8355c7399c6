//! Breaks this workspace on purpose, one edit at a time, and runs the tests that should notice.
//!
//! ```text
//! cargo run -p jetwash-mutants                          # tries all, in hours
//! cargo run -p jetwash-mutants -- --crate event         # those of one crate
//! cargo run -p jetwash-mutants -- --only NAME
//! cargo run -p jetwash-mutants -- --sample 4 --seed 7   # four of them, chosen by the seed
//! cargo run -p jetwash-mutants -- --check               # only that every edit still applies
//! ```
//!
//! The edits are in `mutants/`, each with the tests that should notice and the outcome expected.
//! The exit code is 1 if an outcome is another than that.

mod choice;
mod mutant;
mod scratch;
mod tier;
mod trial;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;

use choice::Choice;
use mutant::{Expected, Mutant};
use scratch::Scratch;
use tier::Tier;
use trial::{Outcome, Trial};

/// Breaks this workspace on purpose, one edit at a time, and runs the tests that should notice.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    choice: Choice,
    /// Only makes sure that every edit applies, and lists the mutants.
    #[arg(long)]
    check: bool,
    /// The folder for the copy of the workspace that is broken. It is kept for the next run.
    #[arg(long, value_name = "FOLDER", env = "JETWASH_MUTANTS_SCRATCH")]
    scratch: Option<PathBuf>,
    /// Tests that take longer than this are ended, and their mutant counts as caught.
    #[arg(long, value_name = "SECONDS", default_value_t = 180)]
    limit: u64,
    /// The root of the workspace.
    #[arg(default_value = ".")]
    root: PathBuf,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Tries the mutants that are chosen, and returns how many had another outcome than expected.
fn run(arguments: &Arguments) -> Result<usize, String> {
    let mutants = mutant::read_folder(&arguments.root.join("mutants"))?;
    // All of them, and not only those that are chosen: an edit that no longer applies is found by
    // the first run after the change that made it so.
    let wrong: Vec<String> = mutants
        .iter()
        .filter_map(|mutant| mutant.edited(&arguments.root).err())
        .collect();
    if !wrong.is_empty() {
        return Err(wrong.join("\n"));
    }
    let chosen = arguments.choice.of(mutants)?;
    if arguments.check {
        for mutant in &chosen {
            println!("{} ({}): {}", mutant.name, mutant.krate(), mutant.fault);
        }
        println!("{} mutants; every edit applies", chosen.len());
        return Ok(0);
    }
    let folder = arguments.scratch.clone();
    let folder = folder.unwrap_or_else(|| std::env::temp_dir().join("jetwash-mutants"));
    let scratch = Scratch::prepare(&arguments.root, &folder)?;
    let trial = Trial {
        scratch: &scratch,
        limit: Duration::from_secs(arguments.limit),
    };
    let mut report = Report::default();
    println!("| crate | mutant | outcome | seconds |\n|---|---|---|---|");
    let mut rest = chosen.as_slice();
    while let Some(first) = rest.first() {
        // The tests must pass without a mutant, or a failure with one says nothing.
        let package = |mutant: &Mutant| mutant.tiers.first().map(|tier| tier.package.clone());
        let count = rest
            .iter()
            .take_while(|it| package(it) == package(first))
            .count();
        let (group, others) = rest.split_at(count);
        prove(&trial, group, &scratch.log("without-a-mutant"))?;
        for mutant in group {
            let start = Instant::now();
            let outcome = trial.mutant(mutant)?;
            report.add(mutant, &outcome, start.elapsed());
        }
        rest = others;
    }
    println!(
        "\ntried {}, caught {}, retired {}, other than expected {}",
        chosen.len(),
        report.caught,
        report.retired,
        report.different
    );
    Ok(report.different)
}

/// Runs the tests of some mutants on the code as it is, where they must pass.
fn prove(trial: &Trial<'_>, mutants: &[Mutant], log: &Path) -> Result<(), String> {
    for tier in Tier::together(mutants.iter().flat_map(|mutant| &mutant.tiers)) {
        let outcome = trial.tier(&tier, log)?;
        if !matches!(outcome, Outcome::Survived(_)) {
            return Err(format!(
                "`{tier}` does not pass without a mutant ({outcome:?}); {} ends with:\n{}",
                log.display(),
                trial::last_lines(log)
            ));
        }
    }
    Ok(())
}

/// Counts the outcomes, and prints each.
#[derive(Debug, Default)]
struct Report {
    caught: usize,
    retired: usize,
    different: usize,
}

impl Report {
    fn add(&mut self, mutant: &Mutant, outcome: &Outcome, took: Duration) {
        let is_caught = matches!(outcome, Outcome::Caught(_) | Outcome::Hung);
        let text = match (outcome, &mutant.expected) {
            (Outcome::Caught(test), Expected::Caught) => format!("caught by {test}"),
            (Outcome::Hung, Expected::Caught) => "caught: the tests hang".to_owned(),
            (Outcome::Survived(0), _) => "NO TESTS RAN".to_owned(),
            (Outcome::Survived(_), Expected::Retired(reason)) => format!("retired: {reason}"),
            (Outcome::DoesNotBuild, _) => "DOES NOT BUILD".to_owned(),
            (Outcome::Survived(tests), Expected::Caught) => {
                format!("SURVIVED {tests} tests. {}", mutant.fault)
            }
            (Outcome::Caught(_) | Outcome::Hung, Expected::Retired(_)) => {
                format!("CAUGHT, though retired: {outcome:?}")
            }
        };
        self.caught += usize::from(is_caught);
        let is_retired = matches!(outcome, Outcome::Survived(1..))
            && matches!(mutant.expected, Expected::Retired(_));
        self.retired += usize::from(is_retired);
        let is_expected = is_retired || is_caught && mutant.expected == Expected::Caught;
        self.different += usize::from(!is_expected);
        let (krate, name) = (mutant.krate(), &mutant.name);
        println!("| {krate} | {name} | {text} | {} |", took.as_secs());
    }
}
