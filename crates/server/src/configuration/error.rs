use std::fmt;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why a configuration file cannot be used.
#[derive(Debug, Error)]
pub(crate) enum ConfigError {
    /// It cannot be read.
    #[error("{}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    /// It cannot be used as it is.
    #[error("{}", Lines(path, mistakes))]
    Mistakes {
        path: PathBuf,
        mistakes: Vec<Mistake>,
    },
    /// Its settings do not go together, with each other or with the command line.
    #[error("with the settings of {}: {reason}", path.display())]
    Together { path: PathBuf, reason: String },
}

/// A mistake in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    /// The number of the line, counted from 1.
    pub(super) line: usize,
    pub(super) text: String,
}

/// Each mistake as a line that begins with the file and the number.
struct Lines<'a>(&'a PathBuf, &'a [Mistake]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Mistake { line, text }) in self.1.iter().enumerate() {
            let end = if index == 0 { "" } else { "\n" };
            write!(f, "{end}{}:{line}: {text}", self.0.display())?;
        }
        Ok(())
    }
}
