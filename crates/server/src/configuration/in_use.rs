//! The settings in use, and where each is from.

use std::fmt;

use clap::parser::ValueSource;
use clap::{ArgMatches, Command};

use super::{Settings, file};

/// An option and its values, as they are in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InUse {
    /// The option, without dashes.
    pub(crate) key: String,
    pub(crate) values: Vec<String>,
    pub(crate) origin: Origin,
}

/// Where a setting is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    CommandLine,
    Environment,
    File,
    Default,
}

impl InUse {
    /// All settings, in the order of `--help`.
    pub(crate) fn all(
        command: &Command,
        matches: &ArgMatches,
        settings: Option<&Settings>,
    ) -> Vec<Self> {
        let of_file: Vec<&str> = settings.into_iter().flat_map(Settings::keys).collect();
        let in_use = file::options(command).filter_map(|(key, option)| {
            let id = option.get_id().as_str();
            let raw = matches.get_raw(id)?;
            let values = raw.map(|value| value.to_string_lossy().into_owned());
            let origin = match matches.value_source(id) {
                Some(ValueSource::CommandLine) if of_file.contains(&key) => Origin::File,
                Some(ValueSource::CommandLine) => Origin::CommandLine,
                Some(ValueSource::EnvVariable) => Origin::Environment,
                _ => Origin::Default,
            };
            Some(Self {
                key: key.to_owned(),
                values: values.collect(),
                origin,
            })
        });
        in_use.collect()
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::CommandLine => "command line",
            Self::Environment => "environment",
            Self::File => "file",
            Self::Default => "default",
        })
    }
}
