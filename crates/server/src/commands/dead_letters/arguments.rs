use std::path::PathBuf;

use clap::Args;

use crate::output::FormatOptions;

#[derive(Debug, Args)]
pub(super) struct ListArguments {
    /// Only those of this consumer
    #[arg(long, value_name = "NAME")]
    pub(super) consumer: Option<String>,

    /// List up to this number of each consumer
    #[arg(long, value_name = "NUMBER", default_value_t = 1000)]
    pub(super) limit: usize,

    /// Where the copy of the log is made: a folder on the same file system
    ///
    /// [default: the folder that FOLDER is in]
    #[arg(long, value_name = "FOLDER")]
    pub(super) work_dir: Option<PathBuf>,

    #[command(flatten)]
    pub(super) format: FormatOptions,
}

/// Names dead letters.
#[derive(Debug, Args)]
pub(super) struct Letters {
    /// The consumer
    #[arg(long, value_name = "NAME")]
    pub(super) consumer: String,

    /// The positions of the events
    #[arg(
        value_name = "SEQ",
        required_unless_present = "all",
        conflicts_with = "all"
    )]
    pub(super) seqs: Vec<u64>,

    /// All of the consumer
    #[arg(long)]
    pub(super) all: bool,
}

#[derive(Debug, Args)]
pub(super) struct DiscardArguments {
    #[command(flatten)]
    pub(super) letters: Letters,

    #[command(flatten)]
    pub(super) format: FormatOptions,
}

#[derive(Debug, Args)]
pub(super) struct ReplayArguments {
    #[command(flatten)]
    pub(super) letters: Letters,

    #[command(flatten)]
    pub(super) format: FormatOptions,

    /// The program, and its arguments
    #[arg(last = true, required = true, value_name = "PROGRAM")]
    pub(super) program: Vec<String>,
}
