//! The commands of the program, a module each: the options, as `clap::Args`, and a function `run`.
//!
//! `page_address` is an option that two of them have.

mod bench;
mod compare;
mod completions;
mod dead_letters;
mod dict;
mod doctor;
mod health;
mod inspect;
mod page_address;
mod serve;
mod tail;
mod top;

use std::env;
use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use thiserror::Error;

use crate::configuration::{ConfigError, InUse, Settings};
use crate::exit::{self, Ended, UsageError};

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
enum Command {
    /// Serve a Jetstream, which is also what happens without a command
    #[command(after_help = exit::HELP)]
    Serve(Box<serve::Arguments>),
    #[command(after_help = exit::HELP)]
    Tail(tail::Arguments),
    #[command(after_help = exit::HELP)]
    Health(health::Arguments),
    #[command(after_help = exit::HELP)]
    Compare(compare::Arguments),
    #[command(after_help = exit::HELP)]
    Inspect(inspect::Arguments),
    #[command(after_help = exit::HELP)]
    DeadLetters(dead_letters::Arguments),
    #[command(after_help = exit::HELP)]
    Doctor(doctor::Arguments),
    #[command(after_help = exit::HELP)]
    Top(top::Arguments),
    #[command(after_help = exit::HELP)]
    Bench(bench::Arguments),
    #[command(after_help = exit::HELP)]
    Dict(dict::Arguments),
    #[command(after_help = exit::HELP)]
    Completions(completions::Arguments),
}

/// Reads the command line, the environment and the configuration file, and does what they say. Ends
/// the program if they make no sense.
pub(crate) fn run() -> Ended {
    let read = Read::new().unwrap_or_else(|error| error.exit());
    let parsed = CommandLine::from_arg_matches(&read.matches);
    let line = parsed.unwrap_or_else(|error| error.exit());
    let command = line.command;
    match command.unwrap_or_else(|| Command::Serve(Box::new(line.serve))) {
        Command::Serve(arguments) => serve::run(*arguments, read.in_use(), read_again),
        Command::Tail(arguments) => tail::run(&arguments),
        Command::Health(arguments) => health::run(&arguments),
        Command::Compare(arguments) => compare::run(&arguments),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::DeadLetters(arguments) => dead_letters::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Top(arguments) => top::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Dict(arguments) => dict::run(&arguments),
        Command::Completions(arguments) => completions::run(&arguments, CommandLine::command()),
    }
}

/// Reads the settings of the server again, with what the configuration file says by now.
///
/// # Errors
///
/// When they make no sense any more.
fn read_again() -> Result<(serve::Arguments, Vec<InUse>), UsageError> {
    let read = Read::new().map_err(wrong)?;
    let arguments = serve::Arguments::from_arg_matches(read.of_serve()).map_err(wrong)?;
    Ok((arguments, read.in_use()))
}

fn wrong(error: impl ToString) -> UsageError {
    UsageError(error.to_string().trim_end().to_owned())
}

/// The command line as it is read, with the environment and the configuration file of the moment.
#[derive(Debug)]
struct Read {
    command: clap::Command,
    matches: ArgMatches,
    /// Those of the file, if there is one.
    settings: Option<Settings>,
}

impl Read {
    fn new() -> Result<Self, ReadError> {
        let words: Vec<OsString> = env::args_os().collect();
        let command = command_of(&words);
        let (matches, settings) = match matches_with_file(&command, &words)? {
            Some((matches, settings)) => (matches, Some(settings)),
            None => (command.clone().try_get_matches_from(&words)?, None),
        };
        Ok(Self {
            command,
            matches,
            settings,
        })
    }

    /// The options of `serve`, which may stand there without its name.
    fn of_serve(&self) -> &ArgMatches {
        let named = self.matches.subcommand_matches(SERVE);
        named.unwrap_or(&self.matches)
    }

    /// The settings of the server.
    fn in_use(&self) -> Vec<InUse> {
        let options = options_of_serve(&self.command);
        InUse::all(&options, self.of_serve(), self.settings.as_ref())
    }
}

/// Why the command line and what belongs to it make no sense.
#[derive(Debug, Error)]
enum ReadError {
    #[error(transparent)]
    Line(#[from] clap::Error),
    #[error(transparent)]
    File(#[from] ConfigError),
}

impl ReadError {
    fn exit(&self) -> ! {
        match self {
            // Help and the version are told in this way too.
            Self::Line(error) => error.exit(),
            Self::File(error) => {
                eprintln!("{NAME}: {error}");
                std::process::exit(exit::WRONG_USE.into());
            }
        }
    }
}

/// The matches of the words and of the configuration file that they name, and its settings; `None`
/// where there is no file, or where the words alone are wrong.
fn matches_with_file(
    command: &clap::Command,
    words: &[OsString],
) -> Result<Option<(ArgMatches, Settings)>, ConfigError> {
    let matches = match command.clone().try_get_matches_from(words) {
        Ok(matches) => matches,
        // What is missing may be in the file.
        Err(error) if error.kind() == ErrorKind::MissingRequiredArgument => {
            let partly = command.clone().ignore_errors(true);
            match partly.try_get_matches_from(words) {
                Ok(matches) => matches,
                Err(_) => return Ok(None),
            }
        }
        Err(_) => return Ok(None),
    };
    let (serve, leading) = match matches.subcommand() {
        None => (&matches, 1),
        Some((SERVE, matches)) => (matches, 2),
        Some(_) => return Ok(None),
    };
    let Some(settings) = Settings::read(&options_of_serve(command), serve)? else {
        return Ok(None);
    };
    let matches = settings.matches(command, words, leading)?;
    Ok(Some((matches, settings)))
}

/// The options of `serve`, as a command.
fn options_of_serve(command: &clap::Command) -> clap::Command {
    let serve = command.find_subcommand(SERVE).cloned();
    serve.unwrap_or_else(|| serve::Arguments::augment_args(clap::Command::new(SERVE)))
}

/// The command line's parser, with the variables of the environment that are read.
///
/// A variable that is empty is as if it were not set, so that a line such as
/// `JETSTREAM_EVENT_TTL=` in a container's settings means the default. Where the first word is a
/// command, only the variables of that one are read.
fn command_of(words: &[OsString]) -> clap::Command {
    let command = CommandLine::command();
    let is_named = words.get(1).is_some_and(|first| {
        let mut known = command.get_subcommands();
        known.any(|known| known.get_name() == first)
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

/// The name of the command that a configuration file is for.
const SERVE: &str = "serve";
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
