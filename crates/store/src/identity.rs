use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::process;
use std::str::FromStr;
use std::time::SystemTime;

use thiserror::Error;

/// The identity of a log, which says where a position belongs.
///
/// Positions count from 1 in every log, so a cursor says nothing without the log that gave it out. A
/// ring gets its identity when it is made and keeps it for as long as it gives out no position twice;
/// one in memory has another each time. As text it is 16 hexadecimal digits.
///
/// # Examples
///
/// ```
/// use jetwash_store::{Location, LogId, Options, open};
///
/// let (_appender, store) = open(Location::Memory, Options::default())?;
/// let text = store.log_id().to_string();
/// assert_eq!(text.len(), 16);
/// assert_eq!(text.parse::<LogId>()?, store.log_id());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LogId(u64);

impl LogId {
    /// The identity as a number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The identity that a number stands for, as [`LogId::get`] gave it.
    #[must_use]
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// One that no other log has. It need not be secret, only different: the standard library's
    /// keys for hash tables come from the operating system's random numbers.
    pub(crate) fn random() -> Self {
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_u32(process::id());
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        hasher.write_u128(now.unwrap_or_default().as_nanos());
        Self(hasher.finish())
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

impl fmt::Debug for LogId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "LogId({self})")
    }
}

impl FromStr for LogId {
    type Err = ParseLogIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if text.len() != 16 || !is_hex {
            return Err(ParseLogIdError);
        }
        u64::from_str_radix(text, 16)
            .map(Self)
            .map_err(|_| ParseLogIdError)
    }
}

/// The text is not a [`LogId`].
///
/// # Examples
///
/// ```
/// use jetwash_store::{LogId, ParseLogIdError};
///
/// assert_eq!("not hexadecimal".parse::<LogId>(), Err(ParseLogIdError));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a log's identity has 16 hexadecimal digits")]
pub struct ParseLogIdError;
