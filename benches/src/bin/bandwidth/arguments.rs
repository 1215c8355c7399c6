use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

/// Compares the ways of sending events, on recorded ones or on those that come.
#[derive(Debug, Parser)]
pub(crate) struct Arguments {
    /// A file of relay frames, each behind its length in four bytes, least first; packed if its
    /// name ends in .zst
    #[arg(long, value_name = "FILE")]
    pub(crate) frames: Option<PathBuf>,
    /// The log of a jetwash server that is not running
    #[arg(long, value_name = "FOLDER", conflicts_with = "frames")]
    pub(crate) store: Option<PathBuf>,
    /// A relay to listen to
    #[arg(long, value_name = "URL", conflicts_with_all = ["frames", "store"])]
    pub(crate) relay: Option<String>,
    /// How long to listen
    #[arg(long = "for", value_name = "TIME", default_value = "10m", value_parser = humantime::parse_duration)]
    pub(crate) listen_for: Duration,
    /// Lines to train dictionaries on, packed if the name ends in .zst
    #[arg(long, value_name = "FILE")]
    pub(crate) train: Option<PathBuf>,
    /// Another dictionary to compare with, such as the official one
    #[arg(long, value_name = "FILE")]
    pub(crate) dictionary: Option<PathBuf>,
    /// Write a chart
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
}
