//! A configuration file: settings that the command line and the environment go before.
//!
//! - `file`: reads the settings, each of which is a long option.
//! - `error`: what is wrong with them, and where.
//! - `in_use`: all settings as they are in the end, and where each is from.
//!
//! Settings become words of the command line, so that what is said of an option there holds in the
//! file too.

mod error;
mod file;
mod in_use;

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

pub(crate) use error::ConfigError;
use file::Setting;
pub(crate) use in_use::{InUse, Origin};

use crate::logging::LEVELS_VARIABLE;

/// The settings of a file, after those that the command line and the environment go before are
/// left out.
#[derive(Debug)]
pub(crate) struct Settings {
    path: PathBuf,
    kept: Vec<Setting>,
}

impl Settings {
    /// Reads the file that `matches` of `command` names, if there is one.
    pub(crate) fn read(
        command: &Command,
        matches: &ArgMatches,
    ) -> Result<Option<Self>, ConfigError> {
        let Some(path) = matches.get_one::<PathBuf>("config") else {
            return Ok(None);
        };
        let settings = parse(path, command)?;
        Ok(Some(Self {
            path: path.clone(),
            kept: not_overridden(settings, command, matches),
        }))
    }

    /// Reads a command line whose first `leading` words are followed by the settings.
    pub(crate) fn matches(
        &self,
        command: &Command,
        line: &[OsString],
        leading: usize,
    ) -> Result<ArgMatches, ConfigError> {
        let words = self.kept.iter().flat_map(|setting| &setting.words);
        let (first, rest) = line.split_at(leading.min(line.len()));
        let line = first.iter().cloned().chain(words.map(OsString::from));
        let line = line.chain(rest.iter().cloned());
        let matches = command.clone().try_get_matches_from(line);
        matches.map_err(|error| ConfigError::Together {
            path: self.path.clone(),
            reason: reason_of(&error),
        })
    }

    /// The options that the file sets.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.kept.iter().map(|setting| &*setting.key)
    }
}

fn parse(path: &Path, command: &Command) -> Result<Vec<Setting>, ConfigError> {
    let text = fs::read_to_string(path).map_err(|source| ConfigError::Read {
        path: path.to_owned(),
        source,
    })?;
    file::parse(&text, command).map_err(|mistakes| ConfigError::Mistakes {
        path: path.to_owned(),
        mistakes,
    })
}

/// The settings that neither the command line nor the environment says otherwise, or says something
/// that they cannot go with.
fn not_overridden(settings: Vec<Setting>, command: &Command, matches: &ArgMatches) -> Vec<Setting> {
    let is_said = |option: &&Arg| {
        let source = matches.value_source(option.get_id().as_str());
        matches!(
            source,
            Some(ValueSource::CommandLine | ValueSource::EnvVariable)
        )
    };
    let said: Vec<_> = command.get_arguments().filter(is_said).collect();
    // Each option names only some of those that it cannot go with; the others name it.
    let excludes = |one: &Arg, two: &Arg| {
        let excluded = command.get_arg_conflicts_with(one);
        excluded.iter().any(|other| other.get_id() == two.get_id())
    };
    let is_overridden = |setting: &Setting| {
        let option = file::options(command).find(|(name, _)| *name == setting.key);
        let is_of_environment = READ_BY_HAND.iter().any(|(key, variable)| {
            *key == setting.key && env::var_os(variable).is_some_and(|value| !value.is_empty())
        });
        is_of_environment
            || option.is_some_and(|(_, option)| {
                said.iter().any(|said| {
                    said.get_id() == option.get_id()
                        || excludes(said, option)
                        || excludes(option, said)
                })
            })
    };
    let kept = settings.into_iter();
    kept.filter(|setting| !is_overridden(setting)).collect()
}

/// The first sentences of an error of the command line.
fn reason_of(error: &clap::Error) -> String {
    let text = error.to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let reason = text.split("\n\n").next().unwrap_or_default();
    reason.trim_end().to_owned()
}

/// The official variable for a relay. It may give one where the option may give more, so it is read
/// by hand.
pub(crate) const RELAY_VARIABLE: &str = "JETSTREAM_WS_URL";
/// Options whose variables are not known to the command line's parser.
const READ_BY_HAND: [(&str, &str); 2] = [("relay", RELAY_VARIABLE), ("log-level", LEVELS_VARIABLE)];
