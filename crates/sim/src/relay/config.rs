use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;

/// How a network is served.
///
/// # Examples
///
/// ```
/// use jetwash_sim::{Rate, RelayConfig};
///
/// let config = RelayConfig {
///     rate: "max".parse()?,
///     frames: Some(100_000),
///     ..RelayConfig::default()
/// };
/// assert_eq!(config.rate, Rate::Max);
/// # Ok::<(), jetwash_sim::ParseRateError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayConfig {
    /// How fast frames come.
    pub rate: Rate,
    /// The number of frames after which no more are made; the kept ones are still served. `None`
    /// for no end.
    pub frames: Option<u64>,
    /// Whether no frame is made before a reader has connected, so that the first misses none even
    /// without a cursor. Without it, frames are made from the start.
    pub wait_for_reader: bool,
    /// How many frames are kept at most.
    pub history_frames: usize,
    /// How many bytes of frames are kept at most. The last frame is kept whatever its size.
    pub history_bytes: usize,
    /// How long a reader may take no bytes before it counts as too slow.
    pub send_timeout: Duration,
}

impl Default for RelayConfig {
    fn default() -> Self {
        Self {
            rate: Rate::default(),
            frames: None,
            wait_for_reader: false,
            history_frames: 100_000,
            history_bytes: 64 * 1024 * 1024,
            send_timeout: Duration::from_secs(10),
        }
    }
}

/// How fast frames come.
///
/// # Examples
///
/// ```
/// use jetwash_sim::Rate;
///
/// assert_eq!("max".parse(), Ok(Rate::Max));
/// assert!(matches!("500".parse(), Ok(Rate::PerSecond(rate)) if rate.get() == 500));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// As fast as they can be made and the slowest reader takes them. With no reader connected,
    /// nothing holds them back.
    Max,
    /// This many a second, whether readers keep up or not.
    PerSecond(NonZeroU32),
}

impl Default for Rate {
    /// Returns 343 a second: the mean of the real network in June 2026.
    fn default() -> Self {
        const REAL: NonZeroU32 = NonZeroU32::MIN.saturating_add(342);
        Self::PerSecond(REAL)
    }
}

impl FromStr for Rate {
    type Err = ParseRateError;

    fn from_str(text: &str) -> Result<Self, ParseRateError> {
        if text == "max" {
            return Ok(Self::Max);
        }
        text.parse()
            .map(Self::PerSecond)
            .map_err(|_| ParseRateError)
    }
}

/// Text that is not a [`Rate`].
///
/// # Examples
///
/// ```
/// use jetwash_sim::{ParseRateError, Rate};
///
/// assert_eq!("0".parse::<Rate>(), Err(ParseRateError));
/// ```
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("neither `max` nor a whole number of frames a second, from 1 up")]
pub struct ParseRateError;
