//! How a command ends, and the exit codes that it ends with.

use std::error::Error;
use std::process::ExitCode;

use thiserror::Error;

use crate::output::OutputError;

/// The end of a command that did its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All is well.
    Well,
    /// The command looked, and found a difference or a problem.
    Found,
}

/// How a command ended.
pub(crate) type Ended = Result<Outcome, Box<dyn Error>>;

/// The options or the configuration make no sense, which only shows once a command runs.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0}")]
pub(crate) struct UsageError(pub(crate) String);

/// Says on standard error why a command failed, and returns the exit code.
///
/// A reader of standard output that has read enough, as `head` does, is not a failure.
pub(crate) fn code(ended: Ended) -> ExitCode {
    let error = match ended {
        Ok(Outcome::Well) => return ExitCode::SUCCESS,
        Ok(Outcome::Found) => return ExitCode::from(FOUND),
        Err(error) => error,
    };
    if error
        .downcast_ref::<OutputError>()
        .is_some_and(OutputError::is_closed)
    {
        return ExitCode::SUCCESS;
    }
    eprintln!("jetwash-server: {error}");
    if error.is::<UsageError>() {
        ExitCode::from(WRONG_USE)
    } else {
        ExitCode::FAILURE
    }
}

/// Stands at the end of `--help`.
pub(crate) const HELP: &str = "\
Exit codes:
  0  all is well
  1  it failed
  2  the options or the configuration are wrong
  3  it looked, and found a difference or a problem";

/// The code of clap too.
pub(crate) const WRONG_USE: u8 = 2;
const FOUND: u8 = 3;
