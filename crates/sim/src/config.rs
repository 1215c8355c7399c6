use std::time::{Duration, SystemTime};

use jetwash_event::Micros;
use thiserror::Error;

/// The configuration of a [`Network`](crate::Network). Equal configurations give equal frames.
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
    /// How many accounts there are at first. Some more join as time continues.
    pub accounts: usize,
    /// How many records a typical account has at first; some have two per cent of that, some half
    /// as many again. Frames grow with its logarithm: at the default of 500 the network is there at
    /// once, and at the 38,000 of [`full_size`](Self::full_size) they are as large as the real
    /// ones.
    pub records: u64,
    /// The number from which everything else follows.
    pub seed: u64,
    /// The time just before the first frame. From there on time passes with the frames, about 343
    /// of them a second as in the real network.
    pub start: Micros,
    /// The sequence number of the first frame.
    pub first_seq: u64,
    /// How many in a million decisions are about something else than writing records: accounts
    /// that join, leave, return or change their handle, and repeats of the current state.
    pub rare_per_million: u32,
    /// How many of the records written since the start are kept at most. While there are more, the
    /// next accounts to write delete their oldest ones instead, up to 200 with a commit, as
    /// cleaning tools do.
    pub kept_records: u64,
    /// The address of the PDS that DID documents name.
    pub pds: String,
}

impl NetworkConfig {
    /// The most accounts that are accepted.
    pub const MAX_ACCOUNTS: usize = 10_000_000;

    /// The most records that are accepted for a typical account.
    pub const MAX_RECORDS: u64 = 1_000_000;

    /// The earliest start: accounts need some years in which to have written their records.
    pub const MIN_START: Micros = Micros::new(1_000_000_000_000_000);

    /// The latest start: the end of the year 2199.
    pub const MAX_START: Micros = Micros::new(7_258_118_400_000_000);

    /// A network whose frames are as large as the real ones, 5.4 kB in the mean: a typical account
    /// has 38,000 records. It takes about 250 MB and a few seconds to begin, in a debug build half
    /// a minute.
    ///
    /// # Examples
    ///
    /// ```
    /// use jetwash_sim::NetworkConfig;
    ///
    /// assert_eq!(NetworkConfig::full_size().records, 38_000);
    /// ```
    #[must_use]
    pub fn full_size() -> Self {
        Self {
            records: 38_000,
            ..Self::default()
        }
    }

    /// The same network from a time on, with sequence numbers that follow from it: the frames of
    /// a later time have higher numbers than all earlier ones, as in the real network.
    ///
    /// A time that no network can start at is refused where the configuration is used.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::{Duration, SystemTime, UNIX_EPOCH};
    /// use jetwash_sim::NetworkConfig;
    ///
    /// let time = UNIX_EPOCH + Duration::from_secs(1_783_175_888);
    /// let config = NetworkConfig::default().starting_at(time);
    /// assert_eq!(SystemTime::from(config.start), time);
    /// let later = NetworkConfig::default().starting_at(time + Duration::from_secs(1));
    /// assert!(later.first_seq >= config.first_seq + 10_000);
    /// ```
    #[must_use]
    pub fn starting_at(self, time: SystemTime) -> Self {
        let start = Micros::from(time);
        let seconds = start.since(Micros::EPOCH).as_secs();
        Self {
            start,
            first_seq: seconds.saturating_mul(SEQ_PER_SECOND),
            ..self
        }
    }

    /// The same network for a reader that has had everything up to the sequence number `seq`: it
    /// begins with the next number, and late enough that its revisions are newer than all that came
    /// with numbers up to `seq`.
    ///
    /// Repositories begin anew, as they are before the first frame: writes in between
    /// are gone, and the first commit of each does not follow on the last one before. A `seq`
    /// before the network's first changes nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use jetwash_sim::{Network, NetworkConfig};
    ///
    /// let config = NetworkConfig { accounts: 5, records: 100, ..NetworkConfig::default() };
    /// let last = Network::new(config.clone())?.nth(41).unwrap();
    /// let next = Network::new(config.continuing_after(last.seq))?.next().unwrap();
    /// assert_eq!(next.seq, last.seq + 1);
    /// assert!(next.time > last.time);
    /// # Ok::<(), jetwash_sim::ConfigError>(())
    /// ```
    #[must_use]
    pub fn continuing_after(self, seq: u64) -> Self {
        let Some(made) = seq
            .checked_sub(self.first_seq)
            .map(|behind| behind.saturating_add(1))
        else {
            return self;
        };
        let passed = Duration::from_micros(made.saturating_mul(LONGEST_STEP_US));
        Self {
            // Beyond the last time that a network can start at, only the number continues.
            start: self.start.plus(passed).min(Self::MAX_START),
            first_seq: self.first_seq.saturating_add(made),
            ..self
        }
    }

    /// How many accounts there can come to be.
    pub(crate) fn most_accounts(&self) -> usize {
        self.accounts.saturating_mul(4).max(LEAST_ROOM)
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let seq_limit = (1 << 53) - 1;
        // Times and numbers are bounded so that no arithmetic on them can overflow later.
        let checks = [
            (
                "accounts",
                self.accounts as u64,
                1,
                Self::MAX_ACCOUNTS as u64,
            ),
            ("records", self.records, 0, Self::MAX_RECORDS),
            (
                "start",
                self.start.get(),
                Self::MIN_START.get(),
                Self::MAX_START.get(),
            ),
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
            records: 500,
            seed: 42,
            // 2026-01-01T00:00:00Z
            start: Micros::new(1_767_225_600_000_000),
            first_seq: 1,
            rare_per_million: 2000,
            kept_records: 100_000,
            pds: "http://127.0.0.1:7777".to_owned(),
        }
    }
}

/// A [`NetworkConfig`] that cannot be used.
///
/// # Examples
///
/// ```
/// use jetwash_sim::{Network, NetworkConfig};
///
/// let config = NetworkConfig { accounts: 0, ..NetworkConfig::default() };
/// let error = Network::new(config).unwrap_err();
/// assert_eq!((error.name, error.least), ("accounts", 1));
/// ```
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("{name}: {value} is not between {least} and {most}")]
pub struct ConfigError {
    /// The field.
    pub name: &'static str,
    /// The value found.
    pub value: u64,
    /// The least allowed.
    pub least: u64,
    /// The most allowed.
    pub most: u64,
}

/// The least and the most time between two frames, in microseconds: 343 frames a second in the
/// mean, and never so close that one commit's record keys reach the last.
pub(crate) const SHORTEST_STEP_US: u64 = 1_000;
pub(crate) const LONGEST_STEP_US: u64 = 4_831;

/// How many accounts there may be, however few there were at first.
const LEAST_ROOM: usize = 100;

/// More frames than any run makes in a second of its time.
const SEQ_PER_SECOND: u64 = 10_000;
