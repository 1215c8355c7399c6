use std::env;
use std::io::{self, IsTerminal};

use clap::ValueEnum;
use tracing::warn;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people, in colours on a terminal
    Text,
    /// An object of JSON each, for programs
    Json,
}

/// How log lines are printed, and which.
#[derive(Clone, Debug)]
pub(crate) struct LogOptions {
    pub(crate) format: LogFormat,
    /// `None` for what the environment says.
    pub(crate) levels: Option<Targets>,
}

/// Prints log lines to standard error from now on.
pub(crate) fn start(options: LogOptions) {
    let said = env::var(LEVELS_VARIABLE).unwrap_or_default();
    let parsed = said.parse::<Targets>();
    let is_said = options.levels.is_none() && !said.trim().is_empty();
    let levels = options
        .levels
        .or_else(|| parsed.as_ref().ok().filter(|_| is_said).cloned());
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let lines = match options.format {
        LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry()
        .with(levels.unwrap_or_else(default_levels))
        .with(lines)
        .init();
    if let (Err(error), true) = (&parsed, is_said) {
        warn!(
            "RUST_LOG says nothing that can be understood, so it is as if it were not set: {error}"
        );
    }
}

/// Printed unless something else is asked for.
fn default_levels() -> Targets {
    Targets::new()
        .with_default(LevelFilter::INFO)
        .with_target("fjall", LevelFilter::WARN)
        .with_target("lsm_tree", LevelFilter::WARN)
}

/// Levels by module, such as `debug` or `info,jetwash=debug`.
pub(crate) const LEVELS_VARIABLE: &str = "RUST_LOG";
