//! The settings of a file, each checked by itself.

use std::fmt::Write;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, Command};
use toml::de::{DeTable, DeValue};

use super::error::Mistake;

/// A setting of a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    /// The option, without dashes.
    pub(super) key: String,
    /// The words that say the same on the command line.
    pub(super) words: Vec<String>,
}

/// Reads the settings of a file, in its order. `command` has the options that there are.
pub(super) fn parse(text: &str, command: &Command) -> Result<Vec<Setting>, Vec<Mistake>> {
    let table = DeTable::parse(text).map_err(|error| {
        let line = line_of(text, error.span().map_or(0, |span| span.start));
        let text = error.message().to_owned();
        vec![Mistake { line, text }]
    })?;
    let (mut settings, mut mistakes) = (Vec::new(), Vec::new());
    for (key, value) in table.get_ref() {
        let line = line_of(text, key.span().start);
        let written = text.get(value.span()).unwrap_or_default();
        match setting(key.get_ref(), value.get_ref(), written, command) {
            Ok(setting) => settings.push((line, setting)),
            Err(text) => mistakes.push(Mistake { line, text }),
        }
    }
    if !mistakes.is_empty() {
        mistakes.sort_by_key(|mistake| mistake.line);
        return Err(mistakes);
    }
    settings.sort_by_key(|(line, _)| *line);
    Ok(settings.into_iter().map(|(_, setting)| setting).collect())
}

/// The options that may be set in a file.
pub(super) fn options(command: &Command) -> impl Iterator<Item = (&str, &Arg)> {
    let named = command
        .get_arguments()
        .filter_map(|option| Some((option.get_long()?, option)));
    named.filter(|(name, _)| !ELSEWHERE.contains(name))
}

fn setting(
    key: &str,
    value: &DeValue<'_>,
    written: &str,
    command: &Command,
) -> Result<Setting, String> {
    let Some((_, option)) = options(command).find(|(name, _)| *name == key) else {
        return Err(unknown(key, value, command));
    };
    let wrong = |reason: &str| format!("{key} = {written}: {reason}");
    let words = words(option, key, value).map_err(wrong)?;
    check(&words, command).map_err(|reason| wrong(&reason))?;
    Ok(Setting {
        key: key.to_owned(),
        words,
    })
}

fn unknown(key: &str, value: &DeValue<'_>, command: &Command) -> String {
    if matches!(value, DeValue::Table(_)) {
        return format!("there is no section `{key}`: all keys stand at the top level");
    }
    let mut text = format!("there is no option `{key}`");
    let near = options(command).map(|(name, _)| (strsim::jaro_winkler(key, name), name));
    let nearest = near.max_by(|(one, _), (two, _)| one.total_cmp(two));
    if let Some((_, name)) = nearest.filter(|(likeness, _)| *likeness >= LEAST_LIKENESS) {
        // Writing to a string does not fail.
        let _ = write!(text, "; the nearest is `{name}`");
    }
    text
}

/// The words that say the same on the command line.
fn words(option: &Arg, key: &str, value: &DeValue<'_>) -> Result<Vec<String>, &'static str> {
    let word = |value: &DeValue<'_>| match value {
        DeValue::String(text) => Some(format!("--{key}={text}")),
        DeValue::Integer(number) if number.radix() == 10 => {
            Some(format!("--{key}={}", number.as_str()))
        }
        DeValue::Float(number) => Some(format!("--{key}={}", number.as_str())),
        _ => None,
    };
    // An empty list, as false, is as if the key were not there.
    match (option.get_action(), value) {
        (ArgAction::SetTrue, DeValue::Boolean(true)) => Ok(vec![format!("--{key}")]),
        (ArgAction::SetTrue, DeValue::Boolean(false)) => Ok(Vec::new()),
        (ArgAction::SetTrue, _) => Err("it must be true or false"),
        (ArgAction::Append, DeValue::Array(values)) => {
            let words: Option<_> = values.iter().map(|value| word(value.get_ref())).collect();
            words.ok_or("it must be a list of texts")
        }
        (ArgAction::Append, value) => {
            let word = word(value).ok_or("it must be a text, or a list of texts")?;
            Ok(vec![word])
        }
        (_, value) => {
            let word = word(value).ok_or("it must be a text or a number")?;
            Ok(vec![word])
        }
    }
}

/// Checks a setting as if it were the whole command line, but for the others that it needs.
fn check(words: &[String], command: &Command) -> Result<(), String> {
    let alone = command.clone().no_binary_name(true);
    let alone = alone.mut_args(|option| option.env(None::<&str>));
    let Err(error) = alone.try_get_matches_from(words) else {
        return Ok(());
    };
    match error.kind() {
        ErrorKind::MissingRequiredArgument => Ok(()),
        ErrorKind::InvalidValue => Err(valid_values(&error)),
        _ => Err(std::error::Error::source(&error)
            .map_or_else(|| error.kind().to_string(), ToString::to_string)),
    }
}

fn valid_values(error: &clap::Error) -> String {
    match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(values)) if !values.is_empty() => {
            format!("it must be one of {}", values.join(", "))
        }
        _ => "it must have a value".to_owned(),
    }
}

/// The number of the line that a byte is in, counted from 1.
fn line_of(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().iter().take(offset);
    1 + before.filter(|byte| **byte == b'\n').count()
}

/// Options that say which file is read, or what is done with it.
const ELSEWHERE: [&str; 4] = ["check", "config", "help", "version"];
/// Names that are less alike are not taken for each other.
const LEAST_LIKENESS: f64 = 0.8;
