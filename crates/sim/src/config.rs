use std::time::{SystemTime, UNIX_EPOCH};

use thiserror::Error;

/// What a [`Network`](crate::Network) is made from. Equal configurations give equal frames.
///
/// # Examples
///
/// ```
/// use jetwash_sim::NetworkConfig;
///
/// let config = NetworkConfig {
///     accounts: 20,
///     records: 500,
///     ..NetworkConfig::default()
/// };
/// assert_eq!(config.seed, 42);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkConfig {
    /// How many accounts there are at first. Some more join as time goes on.
    pub accounts: usize,
    /// How many records a typical account has at first; some have two per cent of that, some two
    /// and a half times as many. Frames grow with its logarithm: at the default of 38,000 they are
    /// as large as the real ones, 5.4 kB in the mean.
    pub records: u64,
    /// The number from which everything else follows.
    pub seed: u64,
    /// The time just before the first frame, in microseconds since 1970. From there on time passes
    /// with the frames, about 343 of them a second as in the real network.
    pub start: u64,
    /// The sequence number of the first frame.
    pub first_seq: u64,
    /// How many in a million decisions are about something else than writing records: accounts
    /// that join, leave, return or change their handle, and repeats of the current state.
    pub rare_per_million: u32,
    /// The address of the PDS that DID documents name.
    pub pds: String,
}

impl NetworkConfig {
    /// The most accounts that are accepted.
    pub const MAX_ACCOUNTS: usize = 10_000_000;

    /// The most records that are accepted for a typical account.
    pub const MAX_RECORDS: u64 = 1_000_000;

    /// The earliest start: accounts need some years in which to have written their records.
    pub const MIN_START: u64 = 1_000_000_000_000_000;

    /// The latest start: the end of the year 2199.
    pub const MAX_START: u64 = 7_258_118_400_000_000;

    /// The same network from a time on, with sequence numbers that follow from it: what comes of a
    /// later time goes on after what came of an earlier one, as in the real network.
    ///
    /// A time that no network can start at is refused where the configuration is used.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::{Duration, UNIX_EPOCH};
    /// use jetwash_sim::NetworkConfig;
    ///
    /// let time = UNIX_EPOCH + Duration::from_secs(1_783_175_888);
    /// let config = NetworkConfig::default().starting_at(time);
    /// assert_eq!(config.start, 1_783_175_888_000_000);
    /// let later = NetworkConfig::default().starting_at(time + Duration::from_secs(1));
    /// assert!(later.first_seq >= config.first_seq + 10_000);
    /// ```
    #[must_use]
    pub fn starting_at(self, time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            start: u64::try_from(since.as_micros()).unwrap_or(u64::MAX),
            first_seq: since.as_secs().saturating_mul(SEQ_PER_SECOND),
            ..self
        }
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let seq_limit = (1 << 53) - 1;
        let checks = [
            (
                "accounts",
                self.accounts as u64,
                1,
                Self::MAX_ACCOUNTS as u64,
            ),
            ("records", self.records, 0, Self::MAX_RECORDS),
            ("start", self.start, Self::MIN_START, Self::MAX_START),
            ("first_seq", self.first_seq, 1, seq_limit),
            (
                "rare_per_million",
                self.rare_per_million.into(),
                0,
                1_000_000,
            ),
        ];
        for (name, value, least, most) in checks {
            if value < least || value > most {
                return Err(ConfigError {
                    name,
                    value,
                    least,
                    most,
                });
            }
        }
        Ok(())
    }
}

impl Default for NetworkConfig {
    fn default() -> Self {
        Self {
            accounts: 1000,
            records: 38_000,
            seed: 42,
            // 2026-01-01T00:00:00Z
            start: 1_767_225_600_000_000,
            first_seq: 1,
            rare_per_million: 2000,
            pds: "http://127.0.0.1:7777".to_owned(),
        }
    }
}

/// A [`NetworkConfig`] that cannot be used.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("{name}: {value} is not between {least} and {most}")]
pub struct ConfigError {
    /// The field.
    pub name: &'static str,
    /// What it says.
    pub value: u64,
    /// The least it may say.
    pub least: u64,
    /// The most it may say.
    pub most: u64,
}

/// More frames than any run makes in a second of its time.
const SEQ_PER_SECOND: u64 = 10_000;
