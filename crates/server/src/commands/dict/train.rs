use jetwash::dict::{Evaluation, Trained, Trainer};
use serde_json::{Value, json};

use super::arguments::TrainArguments;
use super::figures::json_of;
use super::form::Form;
use super::source::each_line;
use crate::dictionary;
use crate::exit::{Ended, Outcome};
use crate::output::{self, OutputError};

pub(super) fn run(arguments: &TrainArguments) -> Ended {
    let is_json = arguments.format.json;
    let mut trainer = Trainer::new().scrub(!arguments.no_scrub);
    if !arguments.sizes.is_empty() {
        let sizes: Vec<_> = arguments.sizes.iter().map(|size| *size as usize).collect();
        trainer = trainer.sizes(sizes);
    }
    let seen = each_line(&arguments.source, |line| {
        trainer.add(line);
        Ok(())
    })?;
    if !is_json {
        let text = format!("{seen} events; those of one account in eight are held out");
        output::print_line(&text)?;
    }
    let mut form = Form::new(arguments.binary);
    let mut printed = Ok(());
    let trained = trainer.train_with(
        arguments.id,
        |line| form.of(line),
        |candidate| {
            if !is_json && printed.is_ok() {
                let text = format!("{:>7} bytes: {}", candidate.size, candidate.result);
                printed = output::print_line(&text);
            }
        },
    )?;
    printed?;
    let output = &arguments.output;
    dictionary::write(output, trained.dictionary().bytes())
        .map_err(|error| format!("{}: {error}", output.display()))?;
    match is_json {
        true => output::print_json(&report(arguments, seen, &trained))?,
        false => print(arguments, &trained)?,
    }
    Ok(Outcome::Well)
}

fn print(arguments: &TrainArguments, trained: &Trained) -> Result<(), OutputError> {
    let dictionary = trained.dictionary();
    output::print_line("the best for its size, by collection of the accounts held out:")?;
    for (group, result) in trained.groups() {
        output::print_line(&format!("  {:<44} {result}", plain(group)))?;
    }
    output::print_line(&format!(
        "written to {}: number {}, {} bytes, trained on {} events, {}",
        arguments.output.display(),
        dictionary.id(),
        dictionary.bytes().len(),
        trained.samples(),
        trained.held_out(),
    ))
}

fn report(arguments: &TrainArguments, seen: u64, trained: &Trained) -> Value {
    let dictionary = trained.dictionary();
    let with = |name: &str, value: Value, result: &Evaluation| {
        let mut figures = json_of(result);
        figures[name] = value;
        figures
    };
    let candidates = trained.candidates().iter();
    let candidates = candidates.map(|it| with("size", json!(it.size), &it.result));
    let groups = trained.groups().iter();
    let groups = groups.map(|(name, result)| with("name", json!(name), result));
    json!({
        "file": arguments.output.display().to_string(),
        "id": dictionary.id(),
        "bytes": dictionary.bytes().len(),
        "events": seen,
        "samples": trained.samples(),
        "held_out": json_of(&trained.held_out()),
        "candidates": candidates.collect::<Vec<_>>(),
        "groups": groups.collect::<Vec<_>>(),
    })
}

/// Text from outside, which must not move the cursor of a terminal.
fn plain(text: &str) -> String {
    text.replace(char::is_control, " ")
}
