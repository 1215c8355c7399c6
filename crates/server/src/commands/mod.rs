//! The commands of the program, a module each: the options, as `clap::Args`, and a function `run`.

mod completions;
mod health;
mod serve;
mod tail;

use std::env;
use std::ffi::OsStr;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::exit::{self, Ended};

/// A Jetstream server: the AT Protocol firehose as small JSON events over a websocket.
///
/// Without a command it serves: `jetwash-server --sim` is short for `jetwash-server serve --sim`.
/// Where an option names an environment variable of the official Jetstream, that variable works
/// here too; the option comes before it.
#[derive(Debug, Parser)]
#[command(name = NAME, version, args_conflicts_with_subcommands = true, after_help = exit::HELP)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    serve: serve::Arguments,
}

/// A command with its options.
#[derive(Debug, Subcommand)]
#[command(after_help = exit::HELP)]
pub(crate) enum Command {
    /// Serve a Jetstream, which is also what happens without a command
    #[command(after_help = exit::HELP)]
    Serve(Box<serve::Arguments>),
    #[command(after_help = exit::HELP)]
    Tail(tail::Arguments),
    #[command(after_help = exit::HELP)]
    Health(health::Arguments),
    #[command(after_help = exit::HELP)]
    Completions(completions::Arguments),
}

impl Command {
    /// Reads the command line and the environment, and ends the program if they make no sense.
    pub(crate) fn read() -> Self {
        let first = env::args_os().nth(1);
        let command = with_environment(CommandLine::command(), first.as_deref());
        let parsed = CommandLine::from_arg_matches(&command.get_matches());
        let line = parsed.unwrap_or_else(|error| error.exit());
        line.command
            .unwrap_or_else(|| Self::Serve(Box::new(line.serve)))
    }

    /// Does what it says.
    pub(crate) fn run(self) -> Ended {
        match self {
            Self::Serve(arguments) => serve::run(*arguments),
            Self::Tail(arguments) => tail::run(&arguments),
            Self::Health(arguments) => health::run(&arguments),
            Self::Completions(arguments) => completions::run(&arguments, CommandLine::command()),
        }
    }
}

/// Decides which variables of the environment are read.
///
/// A variable that is empty is as if it were not set, so that a line such as
/// `JETSTREAM_EVENT_TTL=` in a container's settings means the default. Where the first word is a
/// command, only the variables of that one are read.
fn with_environment(command: clap::Command, first: Option<&OsStr>) -> clap::Command {
    let is_named = first.is_some_and(|first| {
        command
            .get_subcommands()
            .any(|known| known.get_name() == first)
    });
    let command = command.mut_args(|argument| {
        if is_named {
            argument.env(None::<&str>)
        } else {
            without_empty(argument)
        }
    });
    command.mut_subcommands(|command| command.mut_args(without_empty))
}

fn without_empty(argument: clap::Arg) -> clap::Arg {
    let variable = argument.get_env().and_then(env::var_os);
    if variable.is_some_and(|value| value.is_empty()) {
        argument.env(None::<&str>)
    } else {
        argument
    }
}

/// The name of the program, as help and completions have it.
const NAME: &str = "jetwash-server";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_of_every_command_are_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn serve_is_the_command_where_there_is_no_other() {
        for line in ["x --sim --sim-rate=7", "x serve --sim --sim-rate=7"] {
            let parsed = CommandLine::try_parse_from(line.split(' ')).unwrap();
            let serve = match parsed.command {
                Some(Command::Serve(arguments)) => *arguments,
                None => parsed.serve,
                other => panic!("{other:?}"),
            };
            assert_eq!(serve.sim_rate(), Some(7), "{line}");
        }
        assert!(CommandLine::try_parse_from(["x", "--sim", "tail"]).is_err());
    }
}
