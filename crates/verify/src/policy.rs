use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::verdict::Verdict;

/// How much is verified, and what becomes of what fails.
///
/// # Examples
///
/// ```
/// use jetwash_verify::{Policy, Reason, Verdict};
///
/// let policy: Policy = "lenient".parse()?;
/// assert!(policy.delivers(Verdict::Legacy));
/// assert!(!policy.delivers(Verdict::Invalid(Reason::SignatureMismatch)));
/// assert!(!Policy::Strict.delivers(Verdict::Legacy));
/// # Ok::<(), jetwash_verify::ParsePolicyError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Policy {
    /// Nothing is verified, and everything is delivered.
    #[default]
    Off,
    /// Checks what needs neither key nor history: form, blocks, tree and proof. Drops what is
    /// invalid, and delivers the rest as [`Verdict::Unresolved`], since no signature was checked.
    Structure,
    /// Checks everything. Drops what is invalid, and delivers the rest with its verdict.
    Lenient,
    /// Checks everything. Delivers only what is [`Verdict::Verified`].
    Strict,
}

impl Policy {
    /// Whether a frame of that verdict is delivered.
    #[must_use]
    pub const fn delivers(self, verdict: Verdict) -> bool {
        match self {
            Self::Off => true,
            Self::Structure | Self::Lenient => !matches!(verdict, Verdict::Invalid(_)),
            Self::Strict => matches!(verdict, Verdict::Verified),
        }
    }

    /// Whether frames are looked at at all.
    #[must_use]
    pub const fn is_on(self) -> bool {
        !matches!(self, Self::Off)
    }

    /// Whether keys and stored states are needed.
    #[must_use]
    pub const fn needs_keys(self) -> bool {
        matches!(self, Self::Lenient | Self::Strict)
    }

    /// The name, as it is parsed: `off`, `structure`, `lenient` or `strict`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Structure => "structure",
            Self::Lenient => "lenient",
            Self::Strict => "strict",
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Policy {
    type Err = ParsePolicyError;

    fn from_str(text: &str) -> Result<Self, ParsePolicyError> {
        let all = [Self::Off, Self::Structure, Self::Lenient, Self::Strict];
        let named = all.into_iter().find(|policy| policy.as_str() == text);
        named.ok_or(ParsePolicyError)
    }
}

/// A name that no [`Policy`] has.
///
/// # Examples
///
/// ```
/// use jetwash_verify::Policy;
///
/// let error = "loose".parse::<Policy>().unwrap_err();
/// assert_eq!(error.to_string(), "the policy is not one of off, structure, lenient and strict");
/// ```
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the policy is not one of off, structure, lenient and strict")]
#[non_exhaustive]
pub struct ParsePolicyError;
