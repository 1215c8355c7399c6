use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Trains zstd dictionaries for Jetstream events, and shows what they are worth.
#[derive(Debug, Parser)]
#[command(name = "jetwash-dict", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Train a dictionary on events and write it to a file.
    ///
    /// Collections are sampled so that the rare count too, one account in eight is held out, sizes
    /// from 4 to 112 KiB are tried, and the smallest wins that does about as well as the best on
    /// the accounts held out. What is personal is replaced by made-up text first.
    Train(Train),
    /// Say what a dictionary is: its number, size and hash, and whether there are accounts in it
    Inspect {
        /// The dictionary
        #[arg(value_name = "FILE")]
        dictionary: PathBuf,
    },
    /// Say how small a dictionary makes events, by collection, and what that costs
    Evaluate {
        /// The dictionary; `builtin` is the one inside jetwash
        #[arg(value_name = "FILE")]
        dictionary: PathBuf,
        #[command(flatten)]
        source: Source,
        /// Evaluate on binary events instead of JSON
        #[arg(long)]
        binary: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Train {
    #[command(flatten)]
    pub(crate) source: Source,
    /// The file to write
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// The dictionary's number, such as the date; drawn from its content if not given.
    ///
    /// From 32768 to 2147483647: those below and above are reserved (RFC 8878).
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(32_768..=2_147_483_647))]
    pub(crate) id: Option<u32>,
    /// A size to try in bytes; may be given more than once
    #[arg(long = "size", value_name = "BYTES", value_parser = clap::value_parser!(u32).range(256..=1 << 20))]
    pub(crate) sizes: Vec<u32>,
    /// Learn from texts and identifiers as they are
    #[arg(long)]
    pub(crate) no_scrub: bool,
    /// Train for binary events instead of JSON
    #[arg(long)]
    pub(crate) binary: bool,
}

/// Where events come from: one of these.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Source {
    /// A file of lines as a Jetstream sends them, packed if its name ends in .zst or .gz; `-` is
    /// standard input
    #[arg(value_name = "EVENTS")]
    pub(crate) file: Option<PathBuf>,
    /// The log of a jetwash server that is not running
    #[arg(long, value_name = "FOLDER")]
    pub(crate) store: Option<PathBuf>,
    /// This number of frames of a simulated network
    #[arg(long, value_name = "FRAMES")]
    pub(crate) simulate: Option<usize>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_from_one_place() {
        let parse = |line: &str| Arguments::try_parse_from(line.split(' '));
        assert!(parse("dict train -o out").is_err());
        assert!(parse("dict train -o out a --simulate 7").is_err());
        assert!(parse("dict train -o out --simulate 7").is_ok());
        assert!(parse("dict train -o out - --id 7").is_err());
        assert!(parse("dict evaluate v1 lines.jsonl.zst").is_ok());
    }
}
