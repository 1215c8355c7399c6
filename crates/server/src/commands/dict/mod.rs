//! `dict`: zstd dictionaries.
//!
//! [`train`] makes one, [`inspect`] says what one is, and [`evaluate`] how small some make events.
//! [`source`] reads events, [`form`] brings them into the form that is compressed, [`named`] opens
//! dictionaries, and [`figures`] makes JSON of what came out.

mod arguments;
mod evaluate;
mod figures;
mod form;
mod inspect;
mod named;
mod source;
mod train;

use clap::{Args, Subcommand};

use self::arguments::{EvaluateArguments, InspectArguments, TrainArguments};
use crate::exit::Ended;

/// Train zstd dictionaries on events, and show what they are worth
///
/// Events are lines as a Jetstream sends them, from a file or standard input, or those of a server's
/// log, which may be in use.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Train a dictionary on events and write it to a file
    ///
    /// Collections are sampled so that the rare count too, one account in eight is held out, sizes
    /// from 4 to 112 KiB are tried, and the smallest wins that does about as well as the best on
    /// the accounts held out. What is personal is replaced by made-up text first.
    Train(TrainArguments),
    /// Say what a dictionary is: its number, size and hash, and whether there are accounts in it
    Inspect(InspectArguments),
    /// Say how small dictionaries make events, by collection, and what that costs
    Evaluate(EvaluateArguments),
}

pub(crate) fn run(arguments: &Arguments) -> Ended {
    match &arguments.action {
        Action::Train(arguments) => train::run(arguments),
        Action::Inspect(arguments) => inspect::run(arguments),
        Action::Evaluate(arguments) => evaluate::run(arguments),
    }
}

#[cfg(test)]
mod tests {
    use clap::error::ErrorKind;

    use super::*;

    #[test]
    fn events_come_from_one_place() {
        let parse = |line: &str| {
            let command = Arguments::augment_args(clap::Command::new("dict"));
            let parsed = command.try_get_matches_from(line.split(' '));
            parsed.map(drop).map_err(|error| error.kind())
        };
        let missing = Err(ErrorKind::MissingRequiredArgument);
        assert_eq!(parse("dict train -o out"), missing);
        let two = "dict train -o out a --simulate 7";
        assert_eq!(parse(two), Err(ErrorKind::ArgumentConflict));
        assert_eq!(parse("dict train -o out --simulate 7"), Ok(()));
        let reserved = "dict train -o out - --id 7";
        assert_eq!(parse(reserved), Err(ErrorKind::ValueValidation));
        assert_eq!(parse("dict evaluate v1 lines.jsonl.zst"), Ok(()));
    }
}
