use std::fmt;

use serde::Serialize;

/// How urgent a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Level {
    /// As it should be.
    Good,
    /// The server works, and would work better.
    ShouldChange,
    /// The server does not work, or does not keep what it promises.
    MustChange,
}

/// The result of a check.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Finding {
    pub(super) check: &'static str,
    pub(super) level: Level,
    /// How it is.
    pub(super) found: String,
    pub(super) expected: Option<String>,
    /// How it becomes as expected.
    pub(super) change: Option<String>,
}

impl Finding {
    pub(super) fn good(check: &'static str, found: impl Into<String>) -> Self {
        Self {
            check,
            level: Level::Good,
            found: found.into(),
            expected: None,
            change: None,
        }
    }

    pub(super) fn bad(
        check: &'static str,
        level: Level,
        found: impl Into<String>,
        expected: impl Into<String>,
        change: impl Into<String>,
    ) -> Self {
        Self {
            check,
            level,
            found: found.into(),
            expected: Some(expected.into()),
            change: Some(change.into()),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Good => "good",
            Level::ShouldChange => "should change",
            Level::MustChange => "MUST CHANGE",
        };
        write!(f, "{level:<14}{:<12}{}", self.check, self.found)?;
        for (title, text) in [("expected", &self.expected), ("change", &self.change)] {
            if let Some(text) = text {
                write!(f, "\n{:26}{title}: {text}", "")?;
            }
        }
        Ok(())
    }
}
