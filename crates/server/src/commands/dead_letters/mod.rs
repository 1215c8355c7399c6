//! `dead-letters`: the events that consumers could not handle.
//!
//! [`list`] shows them, [`settle`] discards them or hands them to another program.

mod arguments;
mod list;
mod settle;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use self::arguments::{DiscardArguments, ListArguments, ReplayArguments};
use crate::exit::Ended;

/// Show, discard or handle the events that a program's consumers could not handle
///
/// `list` changes nothing, and works beside a program that runs. The others need a program that is
/// stopped: its log can be open only once.
///
/// Ends with 3 if an event that was to be handled failed again.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The folder of the program's log, or the data folder that it is in
    folder: PathBuf,

    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List them, of all consumers or of one
    List(ListArguments),
    /// Delete some for good
    Discard(DiscardArguments),
    /// Run a program for each, with the event as a line of JSON on its standard input
    ///
    /// One that ends with 0 has handled the event, and the dead letter is deleted. Otherwise it
    /// stays.
    Replay(ReplayArguments),
}

pub(crate) fn run(arguments: &Arguments) -> Ended {
    let folder = &arguments.folder;
    match &arguments.action {
        Action::List(arguments) => list::run(folder, arguments),
        Action::Discard(arguments) => settle::discard(folder, arguments),
        Action::Replay(arguments) => settle::replay(folder, arguments),
    }
}
