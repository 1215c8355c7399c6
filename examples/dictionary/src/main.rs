//! Dictionaries in one command: train, inspect, evaluate.

#![allow(clippy::print_stdout, reason = "what it finds out is its output")]

mod arguments;
mod commands;
mod source;

use std::process::ExitCode;

use clap::Parser;

use crate::arguments::{Arguments, Command};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match &arguments.command {
        Command::Train(train) => commands::train(train),
        Command::Inspect { dictionary } => commands::inspect(dictionary),
        Command::Evaluate {
            dictionary,
            source,
            binary,
        } => commands::evaluate(dictionary, source, *binary),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("jetwash-dict: {error}");
            ExitCode::FAILURE
        }
    }
}
