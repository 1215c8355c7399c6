use std::path::PathBuf;

use clap::Args;

use crate::output::FormatOptions;

#[derive(Debug, Args)]
pub(super) struct TrainArguments {
    #[command(flatten)]
    pub(super) source: Source,

    /// The file to write
    #[arg(long, short, value_name = "FILE")]
    pub(super) output: PathBuf,

    /// The dictionary's number, such as the date; drawn from its content if not given
    ///
    /// From 32768 to 2147483647: those below and above are reserved (RFC 8878).
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(32_768..=2_147_483_647))]
    pub(super) id: Option<u32>,

    /// A size to try in bytes; may be given more than once
    #[arg(long = "size", value_name = "BYTES", value_parser = clap::value_parser!(u32).range(256..=1 << 20))]
    pub(super) sizes: Vec<u32>,

    /// Learn from texts and identifiers as they are
    #[arg(long)]
    pub(super) no_scrub: bool,

    /// Train for binary events instead of JSON
    #[arg(long)]
    pub(super) binary: bool,

    #[command(flatten)]
    pub(super) format: FormatOptions,
}

#[derive(Debug, Args)]
pub(super) struct InspectArguments {
    /// The dictionary; `builtin` and `builtin-binary` are those inside jetwash
    #[arg(value_name = "FILE")]
    pub(super) dictionary: PathBuf,

    #[command(flatten)]
    pub(super) format: FormatOptions,
}

#[derive(Debug, Args)]
pub(super) struct EvaluateArguments {
    /// The dictionary; `builtin` and `builtin-binary` are those inside jetwash
    #[arg(value_name = "FILE")]
    pub(super) dictionary: PathBuf,

    #[command(flatten)]
    pub(super) source: Source,

    /// Another dictionary to compare it with, on the same events; may be given more than once
    #[arg(long, value_name = "FILE")]
    pub(super) against: Vec<PathBuf>,

    /// Evaluate on binary events instead of JSON
    #[arg(long)]
    pub(super) binary: bool,

    #[command(flatten)]
    pub(super) format: FormatOptions,
}

/// Where events come from: one of these.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Source {
    /// A file of lines as a Jetstream sends them, packed if its name ends in .zst or .gz; `-` is
    /// standard input
    #[arg(value_name = "EVENTS")]
    pub(super) file: Option<PathBuf>,

    /// The log of a server, also while it runs: its folder, or the server's data folder
    #[arg(long, value_name = "FOLDER")]
    pub(super) store: Option<PathBuf>,

    /// This number of frames of a simulated network
    #[arg(long, value_name = "FRAMES")]
    pub(super) simulate: Option<usize>,
}
