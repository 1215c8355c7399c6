use std::path::PathBuf;

use clap::Args;
use tracing_subscriber::filter::Targets;

use crate::logging::{LogFormat, LogOptions};

/// The options of the configuration and of log lines.
#[derive(Debug, Args)]
pub(crate) struct ProgramOptions {
    /// A TOML file with settings, whose keys are the names of the long options
    ///
    /// The command line goes before the environment, that before the file, and that before defaults.
    #[arg(long, value_name = "FILE", env = "JETWASH_CONFIG")]
    pub(crate) config: Option<PathBuf>,

    /// Check the settings and the files that they name, print the settings, and end: with 0 if all is
    /// well, and with 2 otherwise
    ///
    /// The log is not opened, no address is listened on, and no connection is made.
    #[arg(long)]
    pub(crate) check: bool,

    /// The form of log lines
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,

    /// Which log lines are printed: a level, or levels by module, such as info,jetwash=debug
    ///
    /// The levels are off, error, warn, info, debug and trace. [env: RUST_LOG] [default: info]
    #[arg(long, value_name = "LEVELS")]
    log_level: Option<Targets>,
}

impl ProgramOptions {
    pub(crate) fn logging(&self) -> LogOptions {
        LogOptions {
            format: self.log_format,
            levels: self.log_level.clone(),
        }
    }
}
