use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use jetwash_benches::ServeArguments;

/// Runs a server for a long time under every fault, and compares all that its subscribers get with
/// the truth.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) role: Option<Role>,

    /// How long: a number of seconds, or a time such as 10m
    #[arg(long = "for", value_name = "TIME", default_value = "3600", value_parser = time)]
    pub(crate) run: Duration,

    /// How many frames a second the relay sends
    #[arg(long, default_value_t = 2000)]
    pub(crate) rate: u32,

    /// How many subscribers there are at a time
    #[arg(long, default_value_t = 500)]
    pub(crate) subscribers: usize,

    /// How long a subscriber's connection stays in the mean
    #[arg(long, default_value = "20", value_parser = time)]
    pub(crate) stay: Duration,

    /// How long the server runs in the mean before it is stopped or killed
    #[arg(long, default_value = "45", value_parser = time)]
    pub(crate) life: Duration,

    /// The folder for the log, the samples and the picture; made if it is not there
    #[arg(long, default_value = "soak")]
    pub(crate) out: PathBuf,

    /// The number that all random choices follow from, as far as threads and sockets let them
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,

    /// Leave out each event of this number before it is compared, which has to be noticed
    #[arg(long = "break", value_name = "NUMBER", hide = true)]
    pub(crate) broken: Option<u64>,
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Role {
    /// The server
    #[command(hide = true)]
    Serve(ServeArguments),
}

/// Reads `90`, which are seconds, or `10m`.
fn time(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().map(Duration::from_secs);
    seconds.or_else(|_| humantime::parse_duration(text).map_err(|error| error.to_string()))
}
